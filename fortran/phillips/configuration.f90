!! The namelist file: its groups, defaults and checks.
module configuration
  use constants, only: day_length, dp
  use failure, only: stop_all
  implicit none
  private
  public :: read_settings

  integer, parameter :: path_length = 1024, name_length = 256

  !> Everything that a user may choose.
  type, public :: settings
    integer :: nx = 120, ny = 160             !! cells in x and y
    real(dp) :: dx = 1.0e4_dp                 !! grid spacing in x and y [m]
    integer :: px = 0, py = 0                 !! ranks in x and y, 0: chosen
    real(dp) :: dt = 900.0_dp                 !! time step [s]
    real(dp) :: days = 30.0_dp                !! length of this run [days]
    character(path_length) :: restart_in = '' !! state to go on from, empty: the jet
    character(path_length) :: restart_out = 'restart.nc'
    real(dp) :: perturbation = 1.0e-3_dp      !! noise on the jet at the start [m s-1]
    real(dp) :: sponge_days = 10.0_dp         !! time scale of the zonal-mean sponge [days]
    logical :: smagorinsky = .true.           !! or the constant background viscosity alone
    character(16) :: scheme = 'none'          !! source of the eddy kinetic energy
    real(dp) :: khth = 0.0_dp                 !! constant thickness diffusivity [m2 s-1]
    character(path_length) :: file = 'daily.nc'
    real(dp) :: output_days = 1.0_dp
    character(name_length) :: list = '', run = ''
    real(dp) :: stream_days = 1.0_dp
    character(name_length) :: model = '', label = ''
    real(dp) :: filter_scale = 8.0e4_dp       !! of the features' scaling [m]
  contains
    procedure :: steps
  end type settings

  character(*), parameter :: groups(7) = [character(8) :: &
    'domain', 'time', 'physics', 'meke', 'output', 'stream', 'network']

contains

  !> How many time steps a span takes; checked to be whole by `read_settings`.
  pure integer function steps(self, days)
    class(settings), intent(in) :: self
    real(dp), intent(in) :: days  !! [days]

    steps = nint(days * day_length / self%dt)
  end function steps

  !> Read and check the settings; every rank reads the file for itself.
  function read_settings(path) result(chosen)
    character(*), intent(in) :: path  !! namelist file
    type(settings) :: chosen

    integer :: nx, ny, px, py, unit, status
    real(dp) :: dx, dt, days, perturbation, sponge_days, khth, interval_days, filter_scale
    character(path_length) :: restart_in, restart_out, file
    character(name_length) :: list, run, model, label
    character(16) :: scheme
    character(512) :: reason
    logical :: smagorinsky
    namelist /domain/ nx, ny, dx, px, py
    namelist /time/ dt, days, restart_in, restart_out
    namelist /physics/ perturbation, sponge_days, smagorinsky
    namelist /meke/ scheme, khth
    namelist /output/ file, interval_days
    namelist /stream/ list, run, interval_days
    namelist /network/ model, filter_scale, label

    nx = chosen%nx; ny = chosen%ny; dx = chosen%dx; px = chosen%px; py = chosen%py
    dt = chosen%dt; days = chosen%days
    restart_in = chosen%restart_in; restart_out = chosen%restart_out
    perturbation = chosen%perturbation; sponge_days = chosen%sponge_days
    smagorinsky = chosen%smagorinsky
    scheme = chosen%scheme; khth = chosen%khth
    file = chosen%file; list = chosen%list; run = chosen%run
    model = chosen%model; label = chosen%label; filter_scale = chosen%filter_scale

    open (newunit=unit, file=path, status='old', action='read', iostat=status)
    if (status /= 0) call stop_all(trim(path)//' cannot be read: give the path of a namelist file.')
    if (found('domain')) read (unit, nml=domain, iostat=status, iomsg=reason)
    call check_read('domain')
    if (found('time')) read (unit, nml=time, iostat=status, iomsg=reason)
    call check_read('time')
    if (found('physics')) read (unit, nml=physics, iostat=status, iomsg=reason)
    call check_read('physics')
    if (found('meke')) read (unit, nml=meke, iostat=status, iomsg=reason)
    call check_read('meke')
    interval_days = chosen%output_days
    if (found('output')) read (unit, nml=output, iostat=status, iomsg=reason)
    call check_read('output')
    chosen%output_days = interval_days
    interval_days = chosen%stream_days
    if (found('stream')) read (unit, nml=stream, iostat=status, iomsg=reason)
    call check_read('stream')
    chosen%stream_days = interval_days
    if (found('network')) read (unit, nml=network, iostat=status, iomsg=reason)
    call check_read('network')
    call check_groups()
    close (unit)

    chosen%nx = nx; chosen%ny = ny; chosen%dx = dx; chosen%px = px; chosen%py = py
    chosen%dt = dt; chosen%days = days
    chosen%restart_in = restart_in; chosen%restart_out = restart_out
    chosen%perturbation = perturbation; chosen%sponge_days = sponge_days
    chosen%smagorinsky = smagorinsky
    chosen%scheme = scheme; chosen%khth = khth
    chosen%file = file; chosen%list = list; chosen%run = run
    chosen%model = model; chosen%label = label; chosen%filter_scale = filter_scale
    call check_values(path, chosen)

  contains

    !> Whether the group is in the file; rewinds it.
    logical function found(group)
      character(*), intent(in) :: group
      character(path_length) :: line

      found = .false.
      rewind (unit)
      do
        read (unit, '(a)', iostat=status) line
        if (status /= 0) exit
        if (group_of(line) == group) found = .true.
      end do
      status = 0
      rewind (unit)
    end function found

    subroutine check_read(group)
      character(*), intent(in) :: group

      if (status /= 0) call stop_all(trim(path)//': &'//group//' cannot be read ('//trim(reason) &
        //'): correct that key, or end the group with a slash.')
    end subroutine check_read

    subroutine check_groups()
      character(path_length) :: line

      rewind (unit)
      do
        read (unit, '(a)', iostat=status) line
        if (status /= 0) exit
        if (group_of(line) == '' .or. any(groups == group_of(line))) cycle
        call stop_all(trim(path)//': there is no group &'//trim(group_of(line)) &
          //': use domain, time, physics, meke, output, stream or network.')
      end do
    end subroutine check_groups
  end function read_settings

  !> The name of the group that begins on this line, in lower case, or nothing.
  pure function group_of(line) result(name)
    character(*), intent(in) :: line
    character(32) :: name
    character(len(line)) :: text
    integer :: n, code

    name = ''
    text = adjustl(line)
    if (text(1:1) /= '&') return
    name = text(2:scan(text//' ', ' /'//achar(9)) - 1)
    do n = 1, len_trim(name)
      code = iachar(name(n:n))
      if (code >= iachar('A') .and. code <= iachar('Z')) name(n:n) = achar(code + 32)
    end do
  end function group_of

  !> Stop at the first value that makes no sense.
  subroutine check_values(path, chosen)
    character(*), intent(in) :: path
    type(settings), intent(in) :: chosen

    call demand(chosen%nx >= 4 .and. chosen%ny >= 4, 'domain: nx and ny must be at least 4')
    call demand(chosen%dx > 0, 'domain: dx must be positive')
    call demand(chosen%px >= 0 .and. chosen%py >= 0, 'domain: px and py must be 0 (chosen) or more')
    call demand(chosen%dt > 0, 'time: dt must be positive')
    call demand(whole(1.0_dp), 'time: dt must divide a day of 86400 s')
    call demand(chosen%days > 0 .and. whole(chosen%days), &
      'time: days must be positive and a whole number of time steps')
    call demand(abs(chosen%perturbation) < 10, 'physics: perturbation must be below 10 m/s')
    call demand(chosen%sponge_days > 0, 'physics: sponge_days must be positive')
    call demand(any(chosen%scheme == [character(16) :: 'none', 'prognostic', 'network']), &
      "meke: scheme must be 'none', 'prognostic' or 'network'")
    call demand(chosen%khth >= 0, 'meke: khth must not be negative')
    call demand(chosen%output_days > 0 .and. whole(chosen%output_days), &
      'output: interval_days must be positive and a whole number of time steps')
    call demand(chosen%stream_days > 0 .and. whole(chosen%stream_days), &
      'stream: interval_days must be positive and a whole number of time steps')
    call demand(chosen%list == '' .or. chosen%run /= '', 'stream: run must name the run when list is set')
    call demand(chosen%scheme /= 'network' .or. chosen%model /= '', &
      "network: model must name the store's key when the scheme is 'network'")
    call demand(chosen%filter_scale > 0, 'network: filter_scale must be positive')

  contains

    logical function whole(days)
      real(dp), intent(in) :: days

      whole = abs(days * day_length / chosen%dt - chosen%steps(days)) < 1.0e-6_dp
    end function whole

    subroutine demand(fine, sentence)
      logical, intent(in) :: fine
      character(*), intent(in) :: sentence

      if (.not. fine) call stop_all(trim(path)//': &'//sentence//'.')
    end subroutine demand
  end subroutine check_values
end module configuration
