!! The two-layer Phillips model: `mpiexec phillips input.nml`.
program phillips
  use, intrinsic :: iso_fortran_env, only: output_unit
  use mpi_f08, only: MPI_Finalize, MPI_Init
  use configuration, only: read_settings, settings
  use constants, only: dp
  use diagnostics, only: figures, measure
  use domain, only: block, decompose
  use eddy_energy, only: start_energy
  use failure, only: stop_all
  use halo_exchange, only: exchange, field
  use jet, only: start_from_jet
  use state, only: model_state, new_state
  use time_step, only: new_stepper, stepper
  implicit none

  real(dp), parameter :: largest_wave_cfl = 0.6_dp, largest_cfl = 0.8_dp
  type(settings) :: chosen
  type(block) :: b
  type(model_state), target :: s
  type(stepper) :: model
  type(figures) :: now
  integer :: n

  call MPI_Init()
  chosen = read_settings(command_argument(1))
  b = decompose(chosen)
  s = new_state(b)
  model = new_stepper(b, chosen)
  call start_from_jet(b, chosen%perturbation, s)
  s%eddy_energy = start_energy
  call exchange(b, [field(s%h), field(s%u), field(s%v, on_v=.true.), field(s%eddy_energy)])
  do n = 1, chosen%steps(chosen%days)
    call model%step(b, s)
    if (mod(n, chosen%steps(1.0_dp)) == 0) then
      now = measure(b, chosen%dt, s)
      if (b%rank == 0) print "(f0.2, 9(1x, es11.4))", &
        s%day(), now%kinetic_energy, now%max_speed, now%cfl, now%thinnest, now%mass_error
      if (.not. now%finite) call stop_all('unstable')
    end if
  end do
  call MPI_Finalize()

contains

  !> A command line argument.
  function command_argument(number) result(value)
    integer, intent(in) :: number
    character(:), allocatable :: value
    integer :: length

    call get_command_argument(number, length=length)
    allocate (character(length) :: value)
    call get_command_argument(number, value)
  end function command_argument
end program phillips
