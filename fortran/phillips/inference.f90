!! The eddy kinetic energy as a network gives it, in the store or in this process, asked for at every time step.
module inference
  use, intrinsic :: iso_fortran_env, only: real32
  use mpi_f08, only: MPI_Allreduce, MPI_COMM_WORLD, MPI_DOUBLE_PRECISION, MPI_IN_PLACE, MPI_SUM, MPI_Wtime
  use parslflow_client, only: PF_OK, store_client
  use configuration, only: settings
  use constants, only: dp, long
  use domain, only: block
  use failure, only: stop_if_any
  use features, only: feature_fields
  use metrics, only: metric_log
  use parameters, only: depth
  use state, only: model_state
  implicit none
  private
  public :: open_network

  real(dp), parameter :: most_energy = 2.0_dp  !! what the network says is bounded by 0 and this [m2 s-2]

  !> Who runs the network, and what passes to and from it.
  type, public :: network
    character(:), allocatable :: problem       !! what this rank's store said to the last question, or nothing
    type(store_client), private :: store
    character(:), allocatable, private :: model
    real(dp), allocatable, private :: features(:, :)    !! a row a cell
    real(real32), allocatable, private :: answer(:)     !! ln(1 + EKE), EKE in m3 s-2
    real(dp), private :: scaling                        !! of Rd_dx: grid spacing over filter scale
    real(dp), private :: outside = 0, seconds = 0, slowest = 0, steps = 0
  contains
    procedure :: predict
    procedure :: report
  end type network

contains

  !> Connect to the store, or make ready to run in this process, as the environment says; collective.
  function open_network(b, chosen) result(net)
    type(block), intent(in) :: b
    type(settings), intent(in) :: chosen
    type(network) :: net

    net%model = trim(chosen%model)
    net%scaling = b%dx / chosen%filter_scale
    allocate (net%features(b%ni * b%nj, 4), net%answer(b%ni * b%nj))
    call stop_if_any(net%store%connect() /= PF_OK, net%store%message())
  end function open_network

  !> Set the eddy energy inside the block, or `problem`.
  subroutine predict(self, b, fields, s)
    class(network), intent(inout) :: self
    type(block), intent(in) :: b
    type(feature_fields), intent(in) :: fields  !! computed from this state
    type(model_state), intent(inout) :: s

    real(dp) :: started, taken, energy, bounded
    integer :: i, j, n, error

    started = MPI_Wtime()
    do n = 1, 4
      self%features(:, n) = reshape(fields%values(1:b%ni, 1:b%nj, n), [b%ni * b%nj])
    end do
    self%features(:, 4) = self%features(:, 4) * self%scaling
    error = self%store%infer(self%model, self%features, self%answer)
    self%problem = ''
    if (error /= PF_OK) then
      self%problem = self%store%message()
      return
    end if
    n = 0
    do j = 1, b%nj
      do i = 1, b%ni
        n = n + 1
        energy = (exp(real(self%answer(n), dp)) - 1) / depth
        bounded = 0
        if (energy > 0) bounded = min(energy, most_energy)
        if (.not. abs(bounded - energy) <= 0) self%outside = self%outside + 1
        s%eddy_energy(i, j) = bounded
      end do
    end do
    taken = MPI_Wtime() - started
    self%seconds = self%seconds + taken
    self%slowest = max(self%slowest, taken)
    self%steps = self%steps + 1
  end subroutine predict

  !> Since the last report: the share of answers out of range and the mean time of a step's answer; logs this
  !! rank's own; collective.
  subroutine report(self, b, day, log, outside, milliseconds)
    class(network), intent(inout) :: self
    type(block), intent(in) :: b
    real(dp), intent(in) :: day
    type(metric_log), intent(inout) :: log
    real(dp), intent(out) :: outside        !! over all cells and steps
    real(dp), intent(out) :: milliseconds   !! mean over ranks and steps

    real(dp) :: total(2)

    call log%add_network(day, int(self%outside, long), 1000 * self%seconds / self%steps, 1000 * self%slowest)
    total = [self%outside, self%seconds]
    call MPI_Allreduce(MPI_IN_PLACE, total, 2, MPI_DOUBLE_PRECISION, MPI_SUM, MPI_COMM_WORLD)
    outside = total(1) / (self%steps * b%nx * b%ny)
    milliseconds = 1000 * total(2) / (self%steps * b%ranks)
    self%outside = 0
    self%seconds = 0
    self%slowest = 0
    self%steps = 0
  end subroutine report
end module inference
