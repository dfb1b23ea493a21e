!! Biharmonic viscosity in stress-tensor form with Smagorinsky's coefficient (Griffies and Hallberg 2000).
module viscosity
  use constants, only: dp, halo, layers
  use domain, only: block
  use parameters, only: beta, coriolis
  implicit none
  private
  public :: new_viscosity

  real(dp), parameter :: background_speed = 0.003_dp  !! times dx**3 the least coefficient [m s-1]
  real(dp), parameter :: smagorinsky_constant = 0.06_dp
  real(dp), parameter :: bounding_speed = 10.0_dp     !! of the Coriolis-bounded part [m s-1]

  !> Coefficients and the work arrays of one layer.
  type, public :: viscosity_scheme
    private
    logical, public :: active   !! else there is no friction
    real(dp) :: background, linear, quadratic, most
    real(dp), allocatable :: tension(:, :), shear(:, :), u_laplacian(:, :), v_laplacian(:, :)
    real(dp), allocatable :: stress_h(:, :), stress_q(:, :)  !! thickness times stress [m3 s-2]
  contains
    procedure :: friction
  end type viscosity_scheme

contains

  function new_viscosity(b, dt, kind) result(scheme)
    type(block), intent(in) :: b
    real(dp), intent(in) :: dt            !! time step [s]
    character(*), intent(in) :: kind      !! 'smagorinsky', or 'background' alone, or 'none'
    type(viscosity_scheme) :: scheme

    scheme%background = background_speed * b%dx**3
    scheme%linear = 0
    scheme%quadratic = 0
    if (kind == 'smagorinsky') then
      scheme%linear = smagorinsky_constant * b%dx**4
      scheme%quadratic = b%dx**6 * abs(coriolis + beta * b%ny * b%dx) / (5 * bounding_speed**2)
    end if
    scheme%most = b%dx**4 / (80 * dt)
    scheme%active = kind /= 'none'
    associate (i => b%ni + halo, j => b%nj + halo, o => 1 - halo)
      allocate (scheme%tension(o:i, o:j), scheme%shear(o:i, o:j), scheme%u_laplacian(o:i, o:j), &
        scheme%v_laplacian(o:i, o:j), scheme%stress_h(o:i, o:j), scheme%stress_q(o:i, o:j), source=0.0_dp)
    end associate
  end function new_viscosity

  !> Acceleration by lateral friction of one layer inside the block.
  subroutine friction(self, b, h, u, v, du, dv)
    class(viscosity_scheme), intent(inout) :: self
    type(block), intent(in) :: b
    real(dp), intent(in), contiguous :: h(1 - halo:, 1 - halo:, :)  !! thickness [m]
    real(dp), intent(in), contiguous :: u(1 - halo:, 1 - halo:, :), v(1 - halo:, 1 - halo:, :)  !! [m s-1]
    real(dp), intent(inout), contiguous :: du(1 - halo:, 1 - halo:, :), dv(1 - halo:, 1 - halo:, :)  !! [m s-2]

    real(dp) :: per_dx, per_dx2, coefficient
    integer :: i, j, k

    per_dx = 1 / b%dx
    per_dx2 = per_dx**2
    associate (t => self%tension, s => self%shear, lu => self%u_laplacian, lv => self%v_laplacian, &
        stress_h => self%stress_h, stress_q => self%stress_q)
      do k = 1, layers
        do j = -1, b%nj + 2
          do i = -1, b%ni + 2
            t(i, j) = per_dx * (u(i, j, k) - u(i - 1, j, k) - v(i, j, k) + v(i, j - 1, k))
            s(i, j) = per_dx * (v(i + 1, j, k) - v(i, j, k) + u(i, j + 1, k) - u(i, j, k))
          end do
        end do
        do j = 0, b%nj + 1
          do i = 0, b%ni + 1
            lu(i, j) = per_dx2 * (t(i + 1, j) - t(i, j) + s(i, j) - s(i, j - 1))
            lv(i, j) = per_dx2 * (s(i, j) - s(i - 1, j) - t(i, j + 1) + t(i, j))
          end do
        end do
        do j = 1, b%nj + 1
          do i = 1, b%ni + 1
            coefficient = coefficient_of(self, sqrt(t(i, j)**2 &
              + 0.25_dp * (s(i, j)**2 + s(i - 1, j)**2 + s(i, j - 1)**2 + s(i - 1, j - 1)**2)))
            stress_h(i, j) = coefficient * h(i, j, k) * (lu(i, j) - lu(i - 1, j) - lv(i, j) + lv(i, j - 1))
          end do
        end do
        do j = 0, b%nj
          do i = 0, b%ni
            coefficient = coefficient_of(self, sqrt(s(i, j)**2 &
              + 0.25_dp * (t(i, j)**2 + t(i + 1, j)**2 + t(i, j + 1)**2 + t(i + 1, j + 1)**2)))
            stress_q(i, j) = coefficient * 0.25_dp &
              * (h(i, j, k) + h(i + 1, j, k) + h(i, j + 1, k) + h(i + 1, j + 1, k)) &
              * (lv(i + 1, j) - lv(i, j) + lu(i, j + 1) - lu(i, j))
          end do
        end do
        do j = 1, b%nj
          do i = 1, b%ni
            du(i, j, k) = -per_dx * (stress_h(i + 1, j) - stress_h(i, j) + stress_q(i, j) - stress_q(i, j - 1)) &
              / (0.5_dp * (h(i, j, k) + h(i + 1, j, k)))
            dv(i, j, k) = -per_dx * (stress_q(i, j) - stress_q(i - 1, j) - stress_h(i, j + 1) + stress_h(i, j)) &
              / (0.5_dp * (h(i, j, k) + h(i, j + 1, k)))
          end do
        end do
      end do
    end associate
  end subroutine friction

  !> The biharmonic coefficient [m4 s-1] where the strain rate is this large.
  pure real(dp) function coefficient_of(scheme, strain)
    class(viscosity_scheme), intent(in) :: scheme
    real(dp), intent(in) :: strain  !! magnitude of the strain rate [s-1]

    coefficient_of = min(scheme%most, max(scheme%background, strain * (scheme%linear + scheme%quadratic * strain)))
  end function coefficient_of
end module viscosity
