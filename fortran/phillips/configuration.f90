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
    real(dp) :: restart_days = 0.0_dp         !! between the restarts on the way [days], 0: none
    real(dp) :: perturbation = 1.0e-3_dp      !! noise on the jet at the start [m s-1]
    real(dp) :: sponge_days = 10.0_dp         !! time scale of the zonal-mean sponge [days], 0: no sponge
    character(16) :: viscosity = 'smagorinsky' !! or the constant 'background' alone, or 'none'
    real(dp) :: coriolis = 6.49e-5_dp         !! f at the southern wall [s-1]
    real(dp) :: beta = 2.0e-11_dp             !! df/dy [m-1 s-1]
    real(dp) :: depth = 2000.0_dp             !! H, flat bottom [m]
    real(dp) :: gravity = 9.8_dp              !! at the free surface [m s-2]
    real(dp) :: reduced_gravity = 0.0196_dp   !! g' at the interface [m s-2]
    real(dp) :: drag_coefficient = 0.01_dp    !! CD of the bottom drag
    character(16) :: scheme = 'none'          !! source of the eddy kinetic energy
    real(dp) :: khth = 0.0_dp                 !! constant thickness diffusivity [m2 s-1]
    real(dp) :: khcoeff = 1.0_dp              !! Kh over eddy speed times length
    real(dp) :: gmcoeff = 1.0_dp              !! share of the released potential energy that feeds the eddies
    real(dp) :: bgsrc = 1.0e-13_dp            !! background source of eddy energy [m2 s-3]
    real(dp) :: khth_fac = 1.0_dp             !! of Kh in the thickness diffusivity
    real(dp) :: khmeke_fac = 1.0_dp           !! of Kh in the diffusion of the eddy energy itself
    real(dp) :: uscale = 0.0_dp               !! background velocity of the eddies' bottom drag [m s-1]
    real(dp) :: alpha_rhines = 0.15_dp, alpha_eady = 0.15_dp, alpha_deform = 0.0_dp, alpha_frict = 0.0_dp
    real(dp) :: alpha_grid = 0.0_dp           !! weights of the lengths that bound the eddies', 0: left out
    character(path_length) :: file = 'daily.nc'
    real(dp) :: output_days = 1.0_dp
    character(name_length) :: list = '', run = ''
    real(dp) :: stream_days = 1.0_dp
    character(name_length) :: model = '', label = ''
    real(dp) :: filter_scale = 8.0e4_dp       !! of the features' scaling [m]
    real(dp) :: time_limit = 60.0_dp          !! for each answer of the store [s]
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
    real(dp) :: dx, dt, days, restart_interval_days, interval_days, filter_scale, time_limit
    real(dp) :: perturbation, sponge_days, coriolis, beta, depth, gravity, reduced_gravity, drag_coefficient
    real(dp) :: khth, khcoeff, gmcoeff, bgsrc, khth_fac, khmeke_fac, uscale
    real(dp) :: alpha_rhines, alpha_eady, alpha_deform, alpha_frict, alpha_grid
    character(path_length) :: restart_in, restart_out, file
    character(name_length) :: list, run, model, label
    character(16) :: scheme, viscosity
    character(512) :: reason
    namelist /domain/ nx, ny, dx, px, py
    namelist /time/ dt, days, restart_in, restart_out, restart_interval_days
    namelist /physics/ perturbation, sponge_days, viscosity, coriolis, beta, depth, gravity, reduced_gravity, &
      drag_coefficient
    namelist /meke/ scheme, khth, khcoeff, gmcoeff, bgsrc, khth_fac, khmeke_fac, uscale, alpha_rhines, alpha_eady, &
      alpha_deform, alpha_frict, alpha_grid
    namelist /output/ file, interval_days
    namelist /stream/ list, run, interval_days, time_limit
    namelist /network/ model, filter_scale, label, time_limit

    nx = chosen%nx; ny = chosen%ny; dx = chosen%dx; px = chosen%px; py = chosen%py
    dt = chosen%dt; days = chosen%days
    restart_in = chosen%restart_in; restart_out = chosen%restart_out
    restart_interval_days = chosen%restart_days
    perturbation = chosen%perturbation; sponge_days = chosen%sponge_days
    viscosity = chosen%viscosity; coriolis = chosen%coriolis; beta = chosen%beta; depth = chosen%depth
    gravity = chosen%gravity; reduced_gravity = chosen%reduced_gravity; drag_coefficient = chosen%drag_coefficient
    scheme = chosen%scheme; khth = chosen%khth; khcoeff = chosen%khcoeff; gmcoeff = chosen%gmcoeff
    bgsrc = chosen%bgsrc; khth_fac = chosen%khth_fac; khmeke_fac = chosen%khmeke_fac; uscale = chosen%uscale
    alpha_rhines = chosen%alpha_rhines; alpha_eady = chosen%alpha_eady; alpha_deform = chosen%alpha_deform
    alpha_frict = chosen%alpha_frict; alpha_grid = chosen%alpha_grid
    file = chosen%file; list = chosen%list; run = chosen%run
    model = chosen%model; label = chosen%label; filter_scale = chosen%filter_scale
    time_limit = chosen%time_limit

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
    chosen%restart_days = restart_interval_days
    chosen%perturbation = perturbation; chosen%sponge_days = sponge_days
    chosen%viscosity = viscosity; chosen%coriolis = coriolis; chosen%beta = beta; chosen%depth = depth
    chosen%gravity = gravity; chosen%reduced_gravity = reduced_gravity; chosen%drag_coefficient = drag_coefficient
    chosen%scheme = scheme; chosen%khth = khth; chosen%khcoeff = khcoeff; chosen%gmcoeff = gmcoeff
    chosen%bgsrc = bgsrc; chosen%khth_fac = khth_fac; chosen%khmeke_fac = khmeke_fac; chosen%uscale = uscale
    chosen%alpha_rhines = alpha_rhines; chosen%alpha_eady = alpha_eady; chosen%alpha_deform = alpha_deform
    chosen%alpha_frict = alpha_frict; chosen%alpha_grid = alpha_grid
    chosen%file = file; chosen%list = list; chosen%run = run
    chosen%model = model; chosen%label = label; chosen%filter_scale = filter_scale
    chosen%time_limit = time_limit
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
    call demand(chosen%restart_days >= 0 .and. whole(chosen%restart_days), &
      'time: restart_interval_days must be a whole number of time steps, or 0 for a restart at the end alone')
    call demand(abs(chosen%perturbation) < 10, 'physics: perturbation must be below 10 m/s')
    call demand(chosen%sponge_days >= 0, 'physics: sponge_days must be positive, or 0 for no sponge')
    call demand(any(chosen%viscosity == [character(16) :: 'smagorinsky', 'background', 'none']), &
      "physics: viscosity must be 'smagorinsky', 'background' or 'none'")
    call demand(chosen%depth > 0 .and. chosen%gravity > 0 .and. chosen%reduced_gravity > 0, &
      'physics: depth, gravity and reduced_gravity must be positive')
    call demand(abs(chosen%coriolis) > 0 .or. abs(chosen%beta) > 0, &
      'physics: coriolis and beta must not both be 0, since the deformation radius is then infinite: give coriolis &
      &a small value')
    call demand(chosen%drag_coefficient >= 0, 'physics: drag_coefficient must not be negative')
    call demand(any(chosen%scheme == [character(16) :: 'none', 'prognostic', 'network']), &
      "meke: scheme must be 'none', 'prognostic' or 'network'")
    call demand(min(chosen%khth, chosen%khcoeff, chosen%gmcoeff, chosen%bgsrc, chosen%khth_fac, &
      chosen%khmeke_fac, chosen%uscale) >= 0, &
      'meke: khth, khcoeff, gmcoeff, bgsrc, khth_fac, khmeke_fac and uscale must not be negative')
    call demand(min(chosen%alpha_rhines, chosen%alpha_eady, chosen%alpha_deform, chosen%alpha_frict, &
      chosen%alpha_grid) >= 0, 'meke: the alphas must not be negative, 0 leaves a length out')
    call demand(chosen%alpha_frict <= 0 .or. chosen%drag_coefficient > 0, &
      'meke: alpha_frict must be 0 where drag_coefficient is')
    call demand(chosen%output_days > 0 .and. whole(chosen%output_days), &
      'output: interval_days must be positive and a whole number of time steps')
    call demand(chosen%stream_days > 0 .and. whole(chosen%stream_days), &
      'stream: interval_days must be positive and a whole number of time steps')
    call demand(chosen%list == '' .or. chosen%run /= '', 'stream: run must name the run when list is set')
    call demand(chosen%scheme /= 'network' .or. chosen%model /= '', &
      "network: model must name the store's key when the scheme is 'network'")
    call demand(chosen%time_limit > 0 .and. chosen%time_limit <= 1.0e6_dp, &
      'stream, &network: time_limit must be positive and at most 1e6 s')
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
