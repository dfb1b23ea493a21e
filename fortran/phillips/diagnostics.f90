!! Global figures of the flow, and whether it is still sane.
module diagnostics
  use mpi_f08, only: MPI_Allreduce, MPI_COMM_WORLD, MPI_DOUBLE_PRECISION, MPI_IN_PLACE, MPI_MAX, MPI_SUM
  use constants, only: dp, layers
  use domain, only: block
  use eddy_energy, only: internal_speed
  use energy_budget, only: interface_energy, powers
  use parameters, only: depth, gravity
  use state, only: model_state
  implicit none
  private
  public :: measure

  !> Sums and extremes over the whole domain.
  type, public :: figures
    real(dp) :: kinetic_energy   !! per unit mass [m2 s-2]
    real(dp) :: potential_energy !! of both interfaces, per unit mass [m2 s-2]
    type(powers) :: work         !! what changes these, per unit mass [m2 s-3]
    real(dp) :: mass_error       !! relative to the rest state
    real(dp) :: eddy_energy      !! depth mean [m2 s-2]
    real(dp) :: max_speed        !! largest velocity component [m s-1]
    real(dp) :: cfl              !! max_speed*dt/dx
    real(dp) :: wave_cfl         !! with the internal wave's speed added
    real(dp) :: thinnest         !! least layer thickness [m]
    logical :: finite
  end type figures

contains

  !> Measure the state; collective.
  function measure(b, dt, s, work) result(found)
    type(block), intent(in) :: b
    real(dp), intent(in) :: dt  !! time step [s]
    type(model_state), intent(in) :: s
    type(powers), intent(in) :: work  !! of the last step in this block
    type(figures) :: found

    real(dp) :: total(9), most(3)
    integer :: i, j, k

    total = 0
    do k = 1, layers
      do j = 1, b%nj
        do i = 1, b%ni
          total(1) = total(1) + s%h(i, j, k) * 0.25_dp * (s%u(i, j, k)**2 + s%u(i - 1, j, k)**2 &
            + s%v(i, j, k)**2 + s%v(i, j - 1, k)**2)
          total(2) = total(2) + s%h(i, j, k)
        end do
      end do
    end do
    total(2) = total(2) - depth * b%ni * b%nj
    total(3) = sum(s%eddy_energy(1:b%ni, 1:b%nj))
    total(5) = interface_energy(b, s%h(:, :, 2)) &
      + 0.5_dp * gravity * sum((s%h(1:b%ni, 1:b%nj, 1) + s%h(1:b%ni, 1:b%nj, 2) - depth)**2)
    total(6:9) = [work%sponge, work%drag, work%viscous, work%diffusion]
    most(1) = max(maxval(abs(s%u(1:b%ni, 1:b%nj, :))), maxval(abs(s%v(1:b%ni, 1:b%nj, :))))
    most(2) = maxval(internal_speed(s%h(1:b%ni, 1:b%nj, 1), s%h(1:b%ni, 1:b%nj, 2)))
    most(3) = -minval(s%h(1:b%ni, 1:b%nj, :))
    total(4) = merge(0.0_dp, 1.0_dp, abs(total(1)) <= huge(total) .and. abs(total(2)) <= huge(total))
    call MPI_Allreduce(MPI_IN_PLACE, total, size(total), MPI_DOUBLE_PRECISION, MPI_SUM, MPI_COMM_WORLD)
    call MPI_Allreduce(MPI_IN_PLACE, most, size(most), MPI_DOUBLE_PRECISION, MPI_MAX, MPI_COMM_WORLD)
    associate (volume => depth * b%nx * b%ny)
      found%kinetic_energy = total(1) / volume
      found%mass_error = total(2) / volume
      found%potential_energy = total(5) / volume
      found%work = powers(total(6) / volume, total(7) / volume, total(8) / volume, total(9) / volume)
    end associate
    found%eddy_energy = total(3) / (real(b%nx, dp) * b%ny)
    found%max_speed = most(1)
    found%cfl = most(1) * dt / b%dx
    found%wave_cfl = (most(1) + most(2)) * dt / b%dx
    found%thinnest = -most(3)
    found%finite = total(4) < 0.5_dp
  end function measure
end module diagnostics
