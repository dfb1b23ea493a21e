!! What the model logs about itself while it runs, where the environment names a journal.
module metrics
  use cmflib, only: cmf_row, cmf_type
  use configuration, only: settings
  use constants, only: dp, long
  use diagnostics, only: figures
  implicit none
  private
  public :: open_log

  !> This rank's part of the execution's events.
  type, public :: metric_log
    private
    type(cmf_type) :: cmf
    type(cmf_row) :: flow, network
    logical :: active = .false., has_eddies
  contains
    procedure :: add_flow
    procedure :: add_network
    procedure :: close
  end type metric_log

contains

  !> Begin, where there is a journal; rank 0 logs the flow, each rank its network.
  function open_log(chosen, rank) result(log)
    type(settings), intent(in) :: chosen
    integer, intent(in) :: rank
    type(metric_log) :: log

    character(:), allocatable :: name
    integer :: length

    call get_environment_variable('PARSLFLOW_JOURNAL', length=length)
    if (length == 0 .or. .not. (rank == 0 .or. chosen%scheme == 'network')) return
    name = 'phillips'
    if (chosen%run /= '') name = trim(chosen%run)
    call log%cmf%initialize('mlmd', 'phillips', 'simulation', name)
    log%active = log%cmf%initialized()
    log%has_eddies = chosen%scheme /= 'none'
  end function open_log

  !> A row of the series `diagnostics`.
  subroutine add_flow(self, rank, day, now)
    class(metric_log), intent(inout) :: self
    integer, intent(in) :: rank
    real(dp), intent(in) :: day
    type(figures), intent(in) :: now

    if (.not. self%active .or. rank /= 0) return
    call self%flow%set('day', day)
    call self%flow%set('kinetic_energy', now%kinetic_energy)
    call self%flow%set('potential_energy', now%potential_energy)
    call self%flow%set('sponge_power', now%work%sponge)
    call self%flow%set('drag_power', now%work%drag)
    call self%flow%set('viscous_power', now%work%viscous)
    call self%flow%set('diffusion_power', now%work%diffusion)
    if (self%has_eddies) call self%flow%set('eddy_energy', now%eddy_energy)
    call self%flow%set('mass_error', now%mass_error)
    call self%flow%set('max_speed', now%max_speed)
    call self%flow%set('cfl', now%cfl)
    call self%flow%set('thinnest', now%thinnest)
    call self%cmf%log_metric('diagnostics', self%flow)
  end subroutine add_flow

  !> A row of the series `inference`: this rank's answers since the last one.
  subroutine add_network(self, day, outside, mean, largest)
    class(metric_log), intent(inout) :: self
    real(dp), intent(in) :: day
    integer(long), intent(in) :: outside   !! answers out of range
    real(dp), intent(in) :: mean, largest  !! time of an answer [ms]

    if (.not. self%active) return
    call self%network%set('day', day)
    call self%network%set('out_of_range', outside)
    call self%network%set('inference_ms', mean)
    call self%network%set('inference_ms_largest', largest)
    call self%cmf%log_metric('inference', self%network)
  end subroutine add_network

  !> Say that the run has completed.
  subroutine close(self)
    class(metric_log), intent(inout) :: self

    if (self%active) call self%cmf%finalize()
    self%active = .false.
  end subroutine close
end module metrics
