!! Coriolis, advection of vorticity and the gradient of kinetic energy, in vector-invariant form.
!!
!! Sadourny's (1975) energy-conserving scheme with the potential vorticity centred on the corners.
module momentum
  use constants, only: dp, halo, layers
  use domain, only: block
  implicit none
  private
  public :: new_momentum

  !> Work arrays of one layer.
  type, public :: momentum_scheme
    private
    real(dp), allocatable :: q(:, :)                 !! potential vorticity [m-1 s-1]
    real(dp), allocatable :: uh(:, :), vh(:, :)      !! transports [m2 s-1]
    real(dp), allocatable :: energy(:, :)            !! kinetic energy at the centre [m2 s-2]
  contains
    procedure :: advect
  end type momentum_scheme

contains

  function new_momentum(b) result(scheme)
    type(block), intent(in) :: b
    type(momentum_scheme) :: scheme

    associate (i => b%ni + halo, j => b%nj + halo, o => 1 - halo)
      allocate (scheme%q(o:i, o:j), scheme%uh(o:i, o:j), scheme%vh(o:i, o:j), scheme%energy(o:i, o:j), &
        source=0.0_dp)
    end associate
  end function new_momentum

  !> Tendencies inside the block, less the Coriolis force on the barotropic flow, which the
  !! barotropic sub-steps carry.
  subroutine advect(self, b, h, u, v, u_mean, v_mean, du, dv)
    class(momentum_scheme), intent(inout) :: self
    type(block), intent(in) :: b
    real(dp), intent(in), contiguous :: h(1 - halo:, 1 - halo:, :)  !! thickness [m]
    real(dp), intent(in), contiguous :: u(1 - halo:, 1 - halo:, :), v(1 - halo:, 1 - halo:, :)  !! [m s-1]
    real(dp), intent(in), contiguous :: u_mean(1 - halo:, 1 - halo:), v_mean(1 - halo:, 1 - halo:)
      !! depth-mean velocity [m s-1]
    real(dp), intent(inout), contiguous :: du(1 - halo:, 1 - halo:, :), dv(1 - halo:, 1 - halo:, :)
      !! tendencies [m s-2]

    real(dp) :: per_dx
    integer :: i, j, k

    per_dx = 1 / b%dx
    associate (q => self%q, uh => self%uh, vh => self%vh, energy => self%energy)
      do k = 1, layers
        do j = 0, b%nj + 1
          do i = 0, b%ni + 1
            q(i, j) = (b%f_q(j) + per_dx * (v(i + 1, j, k) - v(i, j, k) - u(i, j + 1, k) + u(i, j, k))) &
              / (0.25_dp * (h(i, j, k) + h(i + 1, j, k) + h(i, j + 1, k) + h(i + 1, j + 1, k)))
            uh(i, j) = u(i, j, k) * 0.5_dp * (h(i, j, k) + h(i + 1, j, k))
            vh(i, j) = v(i, j, k) * 0.5_dp * (h(i, j, k) + h(i, j + 1, k))
            energy(i, j) = 0.25_dp * (u(i - 1, j, k)**2 + u(i, j, k)**2 + v(i, j - 1, k)**2 + v(i, j, k)**2)
          end do
        end do
        do j = 1, b%nj
          do i = 1, b%ni
            du(i, j, k) = 0.25_dp * (q(i, j) * (vh(i, j) + vh(i + 1, j)) &
              + q(i, j - 1) * (vh(i, j - 1) + vh(i + 1, j - 1)) &
              - b%f_q(j) * (v_mean(i, j) + v_mean(i + 1, j)) &
              - b%f_q(j - 1) * (v_mean(i, j - 1) + v_mean(i + 1, j - 1))) &
              - per_dx * (energy(i + 1, j) - energy(i, j))
          end do
        end do
        do j = 1, b%nj_v
          do i = 1, b%ni
            dv(i, j, k) = -0.25_dp * (q(i, j) * (uh(i, j) + uh(i, j + 1)) &
              + q(i - 1, j) * (uh(i - 1, j) + uh(i - 1, j + 1)) &
              - b%f_q(j) * (u_mean(i, j) + u_mean(i, j + 1) + u_mean(i - 1, j) + u_mean(i - 1, j + 1))) &
              - per_dx * (energy(i, j + 1) - energy(i, j))
          end do
        end do
      end do
    end associate
  end subroutine advect
end module momentum
