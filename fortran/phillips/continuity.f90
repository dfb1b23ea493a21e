!! Advection of layer thickness in flux form.
!!
!! Direct space-time third-order upwind fluxes, of thickness that the flow across has carried for half a step (corner
!! transport, Colella 1990), which makes the two directions together second order in time. A face's thickness lies
!! between those of the two cells beside it, and no more leaves by a face than a fourth of what the cell has: thickness
!! stays positive. The layers' fluxes add up to the barotropic transport, so the surface agrees with the barotropic
!! mode and mass is conserved to rounding.
module continuity
  use constants, only: dp, halo, layers
  use domain, only: block
  implicit none
  private
  public :: new_continuity

  !> Work arrays.
  type, public :: continuity_scheme
    private
    real(dp), allocatable :: carried_x(:, :, :), carried_y(:, :, :)  !! thickness after half a step along x, y [m]
    real(dp), allocatable :: east(:, :), north(:, :)                 !! fluxes of a row of both layers [m2 s-1]
  contains
    procedure :: advance
  end type continuity_scheme

contains

  function new_continuity(b) result(scheme)
    type(block), intent(in) :: b
    type(continuity_scheme) :: scheme

    allocate (scheme%carried_x(1:b%ni, -1:b%nj + 2, layers), scheme%carried_y(-1:b%ni + 2, 1:b%nj, layers), &
      scheme%east(0:b%ni, layers), scheme%north(b%ni, layers), source=0.0_dp)
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

    real(dp) :: ratio, south(b%ni, layers)
    integer :: i, j, k

    ratio = dt / b%dx
    do k = 1, layers
      do j = -1, b%nj + 2
        do i = 1, b%ni
          self%carried_x(i, j, k) = h(i, j, k) &
            - 0.125_dp * ratio * (u(i, j, k) + u(i - 1, j, k)) * (h(i + 1, j, k) - h(i - 1, j, k))
        end do
      end do
      do j = 1, b%nj
        do i = -1, b%ni + 2
          self%carried_y(i, j, k) = h(i, j, k) &
            - 0.125_dp * ratio * (v(i, j, k) + v(i, j - 1, k)) * (h(i, j + 1, k) - h(i, j - 1, k))
        end do
      end do
    end do

    south = northward(0)
    do j = 1, b%nj
      call eastward(j)
      self%north = northward(j)
      do k = 1, layers
        do i = 1, b%ni
          h(i, j, k) = h(i, j, k) - ratio * (self%east(i, k) - self%east(i - 1, k) + self%north(i, k) - south(i, k))
        end do
      end do
      south = self%north
    end do

  contains

    !> Fluxes through the eastern faces of row j.
    subroutine eastward(j)
      integer, intent(in) :: j

      real(dp) :: shift(0:b%ni), face(0:b%ni, layers), speed
      integer :: i, k

      associate (flux => self%east, c => self%carried_y)
        do i = 0, b%ni
          shift(i) = match(uh_mean(i, j), c(i, j, 1) + c(i + 1, j, 1), c(i, j, 2) + c(i + 1, j, 2), &
            u(i, j, 1), u(i, j, 2))
        end do
        do k = 1, layers
          do i = 0, b%ni
            speed = u(i, j, k) + shift(i)
            face(i, k) = face_thickness(c(i - 1, j, k), c(i, j, k), c(i + 1, j, k), c(i + 2, j, k), &
              h(i, j, k), h(i + 1, j, k), ratio * speed)
            flux(i, k) = speed * face(i, k)
          end do
        end do
        call add_up(uh_mean(0:b%ni, j), face, flux)
      end associate
    end subroutine eastward

    !> Fluxes through the northern faces of row j.
    function northward(j) result(flux)
      integer, intent(in) :: j
      real(dp) :: flux(b%ni, layers)

      real(dp) :: shift(b%ni), face(b%ni, layers), speed
      integer :: i, k

      associate (c => self%carried_x)
        do i = 1, b%ni
          shift(i) = match(vh_mean(i, j), c(i, j, 1) + c(i, j + 1, 1), c(i, j, 2) + c(i, j + 1, 2), &
            v(i, j, 1), v(i, j, 2))
        end do
        do k = 1, layers
          do i = 1, b%ni
            speed = v(i, j, k) + shift(i)
            face(i, k) = face_thickness(c(i, j - 1, k), c(i, j, k), c(i, j + 1, k), c(i, j + 2, k), &
              h(i, j, k), h(i, j + 1, k), ratio * speed)
            flux(i, k) = speed * face(i, k)
          end do
        end do
        call add_up(vh_mean(1:b%ni, j), face, flux)
      end associate
    end function northward
  end subroutine advance

  !> What to add to the layers' velocity so that they carry the barotropic transport [m s-1].
  pure real(dp) function match(transport, twice_h1, twice_h2, u1, u2)
    real(dp), intent(in) :: transport            !! [m2 s-1]
    real(dp), intent(in) :: twice_h1, twice_h2   !! twice the thickness at the face [m]
    real(dp), intent(in) :: u1, u2               !! the layers' velocity [m s-1]

    match = (2 * transport - twice_h1 * u1 - twice_h2 * u2) / (twice_h1 + twice_h2)
  end function match

  !> Share what the layers' fluxes lack of the barotropic transport among them by thickness.
  pure subroutine add_up(transport, face, flux)
    real(dp), intent(in), contiguous :: transport(:)  !! of each face [m2 s-1]
    real(dp), intent(in), contiguous :: face(:, :)    !! thickness there, of each layer [m]
    real(dp), intent(inout), contiguous :: flux(:, :) !! of each layer [m2 s-1]

    real(dp) :: lacking(size(transport))
    integer :: i, k

    do i = 1, size(transport)
      lacking(i) = (transport(i) - flux(i, 1) - flux(i, 2)) / (face(i, 1) + face(i, 2))
    end do
    do k = 1, layers
      do i = 1, size(transport)
        flux(i, k) = flux(i, k) + face(i, k) * lacking(i)
      end do
    end do
  end subroutine add_up

  !> Thickness that crosses a face between the cells b and c during a step.
  pure real(dp) function face_thickness(a, b, c, d, has_b, has_c, courant)
    real(dp), intent(in) :: a, b, c, d   !! thickness of the cells in a row, carried by the flow across [m]
    real(dp), intent(in) :: has_b, has_c !! what these cells have [m]
    real(dp), intent(in) :: courant      !! velocity times dt/dx, positive from b to c

    real(dp) :: number, near, far, up, down, most

    number = abs(courant)
    near = (2 - number) * (1 - number) / 6
    far = (1 - number) * (1 + number) / 6
    up = b + near * (c - b) + far * (b - a)
    down = c + near * (b - c) + far * (c - d)
    most = merge(has_b, has_c, courant > 0) / (4 * number + tiny(number))
    face_thickness = min(most, max(min(b, c), min(max(b, c), merge(up, down, courant > 0))))
  end function face_thickness
end module continuity
