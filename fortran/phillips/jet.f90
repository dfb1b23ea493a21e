!! The start of the case: a balanced baroclinic jet with noise on it.
module jet
  use constants, only: dp, halo, layers, pi
  use domain, only: block
  use parameters, only: beta, coriolis, depth, reduced_gravity
  use state, only: model_state
  implicit none
  private
  public :: jet_interface, start_from_jet

  real(dp), parameter, public :: mean_interface = -500.0_dp  !! [m]
  real(dp), parameter :: amplitude = 300.0_dp, width = 2.0e5_dp  !! [m]

contains

  !> Height of the undisturbed interface at the centres' rows [m]; also what the sponge restores to.
  pure function jet_interface(b) result(e2)
    type(block), intent(in) :: b
    real(dp) :: e2(1 - halo:b%nj + halo)

    e2 = mean_interface + amplitude * tanh((b%y(1 - halo:b%nj + halo) - 0.5_dp * b%ny * b%dx) / width)
  end function jet_interface

  !> Set thickness and velocity inside the block; halos are the caller's.
  subroutine start_from_jet(b, perturbation, s)
    type(block), intent(in) :: b
    real(dp), intent(in) :: perturbation      !! size of the noise A [m s-1]
    type(model_state), intent(inout) :: s

    real(dp) :: e2(1 - halo:b%nj + halo), balanced, x, y, share, waves
    integer :: i, j, k, m

    e2 = jet_interface(b)
    s%v = 0
    do j = 1, b%nj
      s%h(:, j, 1) = -e2(j)
      s%h(:, j, 2) = e2(j) + depth
      y = b%y(j) / (b%ny * b%dx) - 0.5_dp
      balanced = amplitude / width / cosh((b%y(j) - 0.5_dp * b%ny * b%dx) / width)**2 &
        * reduced_gravity / (coriolis + beta * b%y(j))
      do k = 1, layers
        share = (k - 0.5_dp) / layers * perturbation
        do i = 1, b%ni
          x = real(i + b%i_offset, dp) / b%nx - 0.5_dp
          waves = 0
          do m = 1, 10
            waves = waves + cos(2 * m * pi * x + 2 * m)
          end do
          s%u(i, j, k) = merge(balanced, 0.0_dp, k == 1) &
            + share * (0.5_dp - abs(2 * x) + 0.1_dp * abs(cos(10 * pi * x)) - abs(sin(5 * pi * y))) &
            + 0.2_dp * share * waves * cos(6 * pi * y)
        end do
      end do
    end do
  end subroutine start_from_jet
end module jet
