!! Diffusion of the interface by transports that are opposite in the two layers (Gent and McWilliams 1990).
module thickness_diffusion
  use constants, only: dp, halo
  use domain, only: block
  implicit none
  private
  public :: diffuse_interface, largest_diffusivity

  real(dp), parameter :: steepest = 0.01_dp  !! slope beyond which the transport grows no more

contains

  !> The largest diffusivity that the time step bears [m2 s-1].
  pure real(dp) function largest_diffusivity(dx, dt)
    real(dp), intent(in) :: dx  !! grid spacing [m]
    real(dp), intent(in) :: dt  !! time step [s]

    largest_diffusivity = 0.25_dp * 0.8_dp * dx**2 / (2 * dt)
  end function largest_diffusivity

  !> Rise of the interface during a time step inside the block.
  pure subroutine diffuse_interface(b, dt, h2, diffusivity, rise)
    type(block), intent(in) :: b
    real(dp), intent(in) :: dt                                    !! time step [s]
    real(dp), intent(in), contiguous :: h2(1 - halo:, 1 - halo:)  !! thickness of the lower layer [m]
    real(dp), intent(in), contiguous :: diffusivity(1 - halo:, 1 - halo:)  !! at the centres [m2 s-1]
    real(dp), intent(inout), contiguous :: rise(1 - halo:, 1 - halo:)      !! [m]

    real(dp) :: east(0:b%ni), north(b%ni, 0:1)
    integer :: i, j

    north(:, 0) = northward(0)
    do j = 1, b%nj
      do i = 0, b%ni
        east(i) = transport(diffusivity(i, j) + diffusivity(i + 1, j), h2(i + 1, j) - h2(i, j))
      end do
      north(:, 1) = northward(j)
      do i = 1, b%ni
        rise(i, j) = dt / b%dx * (east(i) - east(i - 1) + north(i, 1) - north(i, 0))
      end do
      north(:, 0) = north(:, 1)
    end do

  contains

    pure function northward(j)
      integer, intent(in) :: j
      real(dp) :: northward(b%ni)
      integer :: i

      do i = 1, b%ni
        northward(i) = transport(diffusivity(i, j) + diffusivity(i, j + 1), h2(i, j + 1) - h2(i, j))
      end do
    end function northward

    !> Of the upper layer [m2 s-1].
    pure real(dp) function transport(twice_diffusivity, difference)
      real(dp), intent(in) :: twice_diffusivity, difference

      transport = 0.5_dp * twice_diffusivity * max(-steepest, min(steepest, difference / b%dx))
    end function transport
  end subroutine diffuse_interface
end module thickness_diffusion
