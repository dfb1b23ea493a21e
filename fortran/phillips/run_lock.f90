!! No rank outlives what started it, or the next run in this folder knows of it.
module run_lock
  use, intrinsic :: iso_c_binding, only: c_associated, c_char, c_int, c_long, c_null_char, c_ptr
  implicit none
  private
  public :: hold_folder

  character(*), parameter :: path = 'run.lock'   !! made by who starts the run, if at all
  integer(c_int), parameter :: lock_shared = 1   !! LOCK_SH of flock
  integer(c_int), parameter :: end_with_parent = 1  !! PR_SET_PDEATHSIG of Linux
  integer(c_long), parameter :: kill = 9            !! SIGKILL

  interface
    function c_control(option, value) bind(c, name='prctl') result(status)
      import :: c_int, c_long
      integer(c_int), value :: option
      integer(c_long), value :: value
      integer(c_int) :: status
    end function c_control

    function c_open(path, mode) bind(c, name='fopen') result(file)
      import :: c_char, c_ptr
      character(kind=c_char), intent(in) :: path(*), mode(*)
      type(c_ptr) :: file
    end function c_open

    function c_descriptor(file) bind(c, name='fileno') result(descriptor)
      import :: c_int, c_ptr
      type(c_ptr), value :: file
      integer(c_int) :: descriptor
    end function c_descriptor

    function c_lock(descriptor, operation) bind(c, name='flock') result(status)
      import :: c_int
      integer(c_int), value :: descriptor, operation
      integer(c_int) :: status
    end function c_lock
  end interface

contains

  !> End with the parent, which is mpiexec or a daemon of it, and hold the lock until then. A file system without locks has
  !> none to hold.
  subroutine hold_folder()
    type(c_ptr) :: file
    integer(c_int) :: status

    status = c_control(end_with_parent, kill)
    file = c_open(path//c_null_char, 'r'//c_null_char)
    if (.not. c_associated(file)) return
    status = c_lock(c_descriptor(file), lock_shared)
  end subroutine hold_folder
end module run_lock
