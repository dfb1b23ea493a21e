!! The two-layer Phillips model: `mpiexec phillips input.nml`.
program phillips
  use, intrinsic :: iso_fortran_env, only: output_unit
  use mpi_f08, only: MPI_Finalize, MPI_Init
  use configuration, only: read_settings, settings
  use constants, only: dp
  use daily_output, only: create_output, output_file
  use diagnostics, only: figures, measure
  use domain, only: block, decompose
  use eddy_energy, only: start_energy
  use energy_budget, only: powers
  use failure, only: any_rank, stop_all, stop_if_any
  use features, only: feature_fields, new_features
  use halo_exchange, only: exchange, field
  use inference, only: network, open_network
  use jet, only: start_from_jet
  use metrics, only: metric_log, open_log
  use netcdf_file, only: stamped
  use parameters, only: depth, set_parameters
  use restart, only: read_restart, write_restart
  use run_lock, only: hold_folder
  use state, only: model_state, new_state
  use tile_stream, only: open_stream, stream
  use time_step, only: new_stepper, stepper
  implicit none

  real(dp), parameter :: largest_wave_cfl = 0.6_dp  !! at the start: internal wave and flow
  real(dp), parameter :: largest_cfl = 0.8_dp       !! later: the flow alone
  integer, parameter :: checks_a_day = 8

  type(settings) :: chosen
  type(block) :: b
  type(model_state), target :: s
  type(stepper) :: model
  type(feature_fields) :: fields
  type(output_file) :: output
  type(stream) :: tiles
  type(network) :: net
  type(metric_log) :: log
  type(figures) :: now
  type(powers) :: work
  logical :: writes, streams, asks, keeps, checks
  integer :: n, last
  integer :: number  !! of the step, counted from the start of the case

  call hold_folder()
  call MPI_Init()
  if (command_argument_count() /= 1) call stop_all('one argument is wanted: the path of a namelist file.')
  chosen = read_settings(command_argument(1))
  call set_parameters(chosen)
  b = decompose(chosen)
  log = open_log(chosen, b%rank)
  s = new_state(b)
  model = new_stepper(b, chosen)
  fields = new_features(b)
  if (chosen%restart_in == '') then
    call start_from_jet(b, chosen%perturbation, s)
    s%eddy_energy = start_energy
  else
    call read_restart(b, chosen, s)
  end if
  call exchange(b, [field(s%h), field(s%u), field(s%v, on_v=.true.), field(s%eddy_energy)])
  now = measure(b, chosen%dt, s, work)
  if (.not. (now%finite .and. now%wave_cfl < largest_wave_cfl)) call stop_unstable()

  writes = chosen%file /= ''
  streams = chosen%run /= ''
  asks = chosen%scheme == 'network'
  keeps = chosen%restart_days > 0
  if (writes) output = create_output(b, chosen)
  if (streams) tiles = open_stream(chosen)
  if (asks) net = open_network(b, chosen)
  if (streams .and. s%unsent) call send_tiles()

  last = chosen%steps(chosen%days)
  do n = 1, last
    if (asks) then
      call fields%compute(b, s)
      call net%predict(b, fields, s)
      call keep_and_stop(net%problem)
      call exchange(b, [field(s%eddy_energy)])
    end if
    number = nint(s%time / chosen%dt) + 1
    checks = every(chosen%steps(1.0_dp) / checks_a_day) .or. n == last
    if (checks) then
      call model%step(b, s, work)
    else
      call model%step(b, s)
    end if
    if (checks) then
      now = measure(b, chosen%dt, s, work)
      call log%add_flow(b%rank, s%day(), now)
      if (.not. (now%finite .and. now%thinnest > 0 .and. now%cfl < largest_cfl)) call stop_unstable()
    end if
    call export()
    if (keeps .and. every(chosen%steps(chosen%restart_days)) .and. n < last) then
      call keep(restart_now())
      if (writes) output = create_output(b, chosen)
    end if
    if (every(chosen%steps(1.0_dp)) .or. n == last) call progress()
  end do

  call keep(chosen%restart_out)
  if (streams) call tiles%finish(b, s%sent)
  call log%close()
  call MPI_Finalize()

contains

  !> Whether something done every so many steps is due.
  logical function every(steps)
    integer, intent(in) :: steps

    every = mod(number, max(1, steps)) == 0
  end function every

  !> Write and send what is due.
  subroutine export()
    logical :: write_now, send_now

    write_now = writes .and. every(chosen%steps(chosen%output_days))
    send_now = streams .and. every(chosen%steps(chosen%stream_days))
    if (.not. (write_now .or. send_now)) return
    if (write_now) then
      call fields%compute(b, s)
      call output%write(b, s, model, fields)
    end if
    if (send_now) call send_tiles()
  end subroutine export

  !> Send the tiles of this state; where the store does not take them the restart says so.
  subroutine send_tiles()

    call fields%compute(b, s)
    call fields%fill_halo(b)
    call tiles%send(b, s, fields)
    s%unsent = any_rank(tiles%problem /= '')
    if (.not. s%unsent) s%sent = s%sent + 1
    call keep_and_stop(tiles%problem)
  end subroutine send_tiles

  !> End a run whose store has failed on any rank, with a restart to go on from; collective.
  subroutine keep_and_stop(problem)
    character(*), intent(in) :: problem  !! this rank's sentence, or nothing

    if (.not. any_rank(problem /= '')) return
    call keep(restart_now())
    call stop_if_any(problem /= '', problem(:max(0, len_trim(problem) - 1))//'; the state of day ' &
      //decimal(s%day())//' is in '//restart_now()//', go on from there.')
  end subroutine keep_and_stop

  !> Write a restart when the output up to it is safe.
  subroutine keep(path)
    character(*), intent(in) :: path

    if (writes) call output%close(b, s)
    call write_restart(b, chosen, s, path)
  end subroutine keep

  !> The path of a restart on the way: where there are several each has the name of its time.
  function restart_now() result(path)
    character(:), allocatable :: path

    path = trim(chosen%restart_out)
    if (keeps) path = stamped(path, s%stamp())
  end function restart_now

  !> One line about the day just ended.
  subroutine progress()
    real(dp) :: outside, milliseconds

    if (asks) call net%report(b, s%day(), log, outside, milliseconds)
    if (b%rank /= 0) return
    write (output_unit, '(12a)', advance='no') 'day ', decimal(n / real(chosen%steps(1.0_dp), dp)), ' of ', &
      decimal(chosen%days), ' kinetic_energy=', scientific(now%kinetic_energy), ' max_speed=', &
      scientific(now%max_speed), ' cfl=', scientific(now%cfl), ' mass_error=', scientific(now%mass_error)
    if (chosen%scheme /= 'none') write (output_unit, '(2a)', advance='no') ' eke_mean=', &
      scientific(depth * now%eddy_energy)
    if (asks) write (output_unit, '(4a)', advance='no') ' out_of_range=', scientific(outside), &
      ' inference_ms=', scientific(milliseconds)
    write (output_unit, '()')
    flush (output_unit)
  end subroutine progress

  !> End a run whose time step is too long.
  subroutine stop_unstable()

    call stop_all('unstable on day '//decimal(s%day())//' with a largest speed of '//scientific(now%max_speed) &
      //' m/s: make dt shorter than '//decimal(chosen%dt)//' s or the perturbation smaller.')
  end subroutine stop_unstable

  !> A number with one digit after the point.
  function decimal(value) result(text)
    real(dp), intent(in) :: value
    character(:), allocatable :: text
    character(24) :: digits

    write (digits, '(f24.1)') value
    text = trim(adjustl(digits))
  end function decimal

  !> A number with an exponent.
  function scientific(value) result(text)
    real(dp), intent(in) :: value
    character(:), allocatable :: text
    character(10) :: digits

    write (digits, '(es10.2)') value
    text = trim(adjustl(digits))
  end function scientific

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
