!! The prognostic state: all that a restart needs.
module state
  use constants, only: day_length, dp, halo, layers, long
  use domain, only: block
  implicit none
  private
  public :: new_state

  !> Fields carry their halos; `exchange` makes them valid.
  type, public :: model_state
    real(dp) :: time = 0                          !! since the start of the case [s]
    real(dp), allocatable :: h(:, :, :)           !! layer thickness [m]
    real(dp), allocatable :: u(:, :, :), v(:, :, :)  !! velocity on the C grid [m s-1]
    real(dp), allocatable :: eddy_energy(:, :)    !! depth-mean eddy kinetic energy [m2 s-2]
    real(dp), allocatable :: du(:, :, :, :), dv(:, :, :, :)
      !! advective tendencies of this step and the two before, slots `order(1:3)` [m s-2]
    integer :: order(3) = [1, 2, 3]
    integer :: past = 0                           !! tendencies of earlier steps that are known
    logical :: unsent = .false.                   !! the store did not take the tiles of this time
    integer :: sent = 0                           !! times of the stream's run that the store has taken
  contains
    procedure :: day
    procedure :: stamp
  end type model_state

contains

  !> Room for a block's state.
  function new_state(b) result(s)
    type(block), intent(in) :: b
    type(model_state) :: s

    associate (i => b%ni + halo, j => b%nj + halo, o => 1 - halo)
      allocate (s%h(o:i, o:j, layers), s%u(o:i, o:j, layers), s%v(o:i, o:j, layers), source=0.0_dp)
      allocate (s%eddy_energy(o:i, o:j), source=0.0_dp)
      allocate (s%du(o:i, o:j, layers, 3), s%dv(o:i, o:j, layers, 3), source=0.0_dp)
    end associate
  end function new_state

  !> Days since the start of the case.
  pure real(dp) function day(self)
    class(model_state), intent(in) :: self

    day = self%time / day_length
  end function day

  !> The time as text that sorts: the day, and the seconds of it.
  pure function stamp(self)
    class(model_state), intent(in) :: self
    character(13) :: stamp
    integer(long) :: seconds

    seconds = nint(self%time, long)
    write (stamp, '(i7.7, a, i5.5)') seconds / nint(day_length), '.', mod(seconds, nint(day_length, long))
  end function stamp
end module state
