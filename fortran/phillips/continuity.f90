!! Advection of layer thickness in flux form, first along x, then along y.
!!
!! Direct space-time third-order upwind fluxes, bounded by the two cells beside the face. The layers' fluxes add up
!! to the barotropic transport, so the surface agrees with the barotropic mode and mass is conserved to rounding.
module continuity
  use constants, only: dp, halo, layers
  use domain, only: block
  implicit none
  private
  public :: new_continuity

  !> Work arrays.
  type, public :: continuity_scheme
    private
    real(dp), allocatable :: flux(:, :, :)   !! through the faces along one direction [m2 s-1]
  contains
    procedure :: advance
  end type continuity_scheme

contains

  function new_continuity(b) result(scheme)
    type(block), intent(in) :: b
    type(continuity_scheme) :: scheme

    allocate (scheme%flux(0:b%ni, -1:b%nj + 2, layers), source=0.0_dp)
  end function new_continuity

  !> One time step of the layer thickness inside the block.
  subroutine advance(self, b, dt, u, v, uh_mean, vh_mean, h)
    class(continuity_scheme), intent(inout) :: self
    type(block), intent(in) :: b
    real(dp), intent(in) :: dt  !! time step [s]
    real(dp), intent(in), contiguous :: u(1 - halo:, 1 - halo:, :), v(1 - halo:, 1 - halo:, :)  !! [m s-1]
    real(dp), intent(in), contiguous :: uh_mean(1 - halo:, 1 - halo:), vh_mean(1 - halo:, 1 - halo:)
      !! barotropic transport [m2 s-1]
    real(dp), intent(inout), contiguous :: h(1 - halo:, 1 - halo:, :)  !! thickness [m]

    real(dp) :: ratio, shift(0:b%ni), total(0:b%ni), face(0:b%ni, layers), speed
    integer :: i, j, k

    ratio = dt / b%dx
    associate (flux => self%flux)
      do j = -1, b%nj + 2
        do i = 0, b%ni
          shift(i) = match(uh_mean(i, j), h(i, j, 1) + h(i + 1, j, 1), h(i, j, 2) + h(i + 1, j, 2), &
            u(i, j, 1), u(i, j, 2))
        end do
        do k = 1, layers
          do i = 0, b%ni
            speed = u(i, j, k) + shift(i)
            face(i, k) = face_thickness(h(i - 1, j, k), h(i, j, k), h(i + 1, j, k), h(i + 2, j, k), ratio * speed)
            flux(i, j, k) = speed * face(i, k)
          end do
        end do
        do i = 0, b%ni
          total(i) = (uh_mean(i, j) - flux(i, j, 1) - flux(i, j, 2)) / (face(i, 1) + face(i, 2))
        end do
        do k = 1, layers
          do i = 0, b%ni
            flux(i, j, k) = flux(i, j, k) + face(i, k) * total(i)
          end do
          do i = 1, b%ni
            h(i, j, k) = h(i, j, k) - ratio * (flux(i, j, k) - flux(i - 1, j, k))
          end do
        end do
      end do

      do j = 0, b%nj
        do i = 1, b%ni
          shift(i) = match(vh_mean(i, j), h(i, j, 1) + h(i, j + 1, 1), h(i, j, 2) + h(i, j + 1, 2), &
            v(i, j, 1), v(i, j, 2))
        end do
        do k = 1, layers
          do i = 1, b%ni
            speed = v(i, j, k) + shift(i)
            face(i, k) = face_thickness(h(i, j - 1, k), h(i, j, k), h(i, j + 1, k), h(i, j + 2, k), ratio * speed)
            flux(i, j, k) = speed * face(i, k)
          end do
        end do
        do i = 1, b%ni
          total(i) = (vh_mean(i, j) - flux(i, j, 1) - flux(i, j, 2)) / (face(i, 1) + face(i, 2))
        end do
        do k = 1, layers
          do i = 1, b%ni
            flux(i, j, k) = flux(i, j, k) + face(i, k) * total(i)
          end do
        end do
      end do
      do k = 1, layers
        do j = 1, b%nj
          do i = 1, b%ni
            h(i, j, k) = h(i, j, k) - ratio * (flux(i, j, k) - flux(i, j - 1, k))
          end do
        end do
      end do
    end associate
  end subroutine advance

  !> What to add to the layers' velocity so that they carry the barotropic transport [m s-1].
  pure real(dp) function match(transport, twice_h1, twice_h2, u1, u2)
    real(dp), intent(in) :: transport            !! [m2 s-1]
    real(dp), intent(in) :: twice_h1, twice_h2   !! twice the thickness at the face [m]
    real(dp), intent(in) :: u1, u2               !! the layers' velocity [m s-1]

    match = (2 * transport - twice_h1 * u1 - twice_h2 * u2) / (twice_h1 + twice_h2)
  end function match

  !> Thickness that crosses a face between the cells b and c during a step.
  pure real(dp) function face_thickness(a, b, c, d, courant)
    real(dp), intent(in) :: a, b, c, d  !! thickness of the cells in a row [m]
    real(dp), intent(in) :: courant     !! velocity times dt/dx, positive from b to c

    real(dp) :: number, near, far, up, down

    number = abs(courant)
    near = (2 - number) * (1 - number) / 6
    far = (1 - number) * (1 + number) / 6
    up = b + near * (c - b) + far * (b - a)
    down = c + near * (b - c) + far * (c - d)
    face_thickness = max(min(b, c), min(max(b, c), merge(up, down, courant > 0)))
  end function face_thickness
end module continuity
