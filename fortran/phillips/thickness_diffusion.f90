!! Diffusion of the interface by transports that are opposite in the two layers (Gent and McWilliams 1990).
module thickness_diffusion
  use constants, only: dp, halo
  use domain, only: block
  use parameters, only: reduced_gravity
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

  !> Rise of the interface during a time step, and the potential energy that it gives up, inside the block. The sum
  !! of what is given up over the domain is to first order in the step what the potential energy loses.
  pure subroutine diffuse_interface(b, dt, h2, diffusivity, rise, release)
    type(block), intent(in) :: b
    real(dp), intent(in) :: dt                                    !! time step [s]
    real(dp), intent(in), contiguous :: h2(1 - halo:, 1 - halo:)  !! thickness of the lower layer [m]
    real(dp), intent(in), contiguous :: diffusivity(1 - halo:, 1 - halo:)  !! at the centres [m2 s-1]
    real(dp), intent(inout), contiguous :: rise(1 - halo:, 1 - halo:)      !! [m]
    real(dp), intent(inout), contiguous :: release(1 - halo:, 1 - halo:)   !! per area and density [m3 s-3]

    real(dp) :: east(0:b%ni), east_release(0:b%ni), north(b%ni, 0:1), north_release(b%ni, 0:1), slope
    integer :: i, j

    do j = 0, b%nj
      do i = 1, b%ni
        slope = (h2(i, j + 1) - h2(i, j)) / b%dx
        north(i, 1) = transport(diffusivity(i, j) + diffusivity(i, j + 1), slope)
        north_release(i, 1) = north(i, 1) * slope
      end do
      if (j > 0) then
        do i = 0, b%ni
          slope = (h2(i + 1, j) - h2(i, j)) / b%dx
          east(i) = transport(diffusivity(i, j) + diffusivity(i + 1, j), slope)
          east_release(i) = east(i) * slope
        end do
        do i = 1, b%ni
          rise(i, j) = dt / b%dx * (east(i) - east(i - 1) + north(i, 1) - north(i, 0))
          release(i, j) = 0.5_dp * reduced_gravity &
            * (east_release(i) + east_release(i - 1) + north_release(i, 1) + north_release(i, 0))
        end do
      end if
      north(:, 0) = north(:, 1)
      north_release(:, 0) = north_release(:, 1)
    end do

  contains

    !> Of the upper layer [m2 s-1].
    pure real(dp) function transport(twice_diffusivity, slope)
      real(dp), intent(in) :: twice_diffusivity, slope

      transport = 0.5_dp * twice_diffusivity * max(-steepest, min(steepest, slope))
    end function transport
  end subroutine diffuse_interface
end module thickness_diffusion
