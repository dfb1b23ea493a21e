!! How the program ends when it cannot go on: one sentence on stderr and a non-zero exit code of all the ranks.
module failure
  use, intrinsic :: iso_fortran_env, only: error_unit
  use mpi_f08, only: MPI_Abort, MPI_Allreduce, MPI_Comm_rank, MPI_COMM_WORLD, MPI_Finalize, MPI_INTEGER, MPI_LOGICAL, &
    MPI_LOR, MPI_MIN
  implicit none
  private
  public :: any_rank, stop_all, stop_if_any, abort_run

contains

  !> End a run that all the ranks know to be wrong.
  subroutine stop_all(message)
    character(*), intent(in) :: message  !! the sentence, the same on every rank

    call stop_if_any(.true., message)
  end subroutine stop_all

  !> End the run if any rank failed; the first that did says why. Collective.
  subroutine stop_if_any(failed, message)
    logical, intent(in) :: failed        !! on this rank
    character(*), intent(in) :: message  !! this rank's sentence
    integer :: rank, first

    call MPI_Comm_rank(MPI_COMM_WORLD, rank)
    call MPI_Allreduce(merge(rank, huge(rank), failed), first, 1, MPI_INTEGER, MPI_MIN, MPI_COMM_WORLD)
    if (first == huge(rank)) return
    if (rank == first) write (error_unit, '(2a)') 'phillips: ', trim(message)
    flush (error_unit)
    call MPI_Finalize()
    stop 1, quiet=.true.
  end subroutine stop_if_any

  !> Whether something is so on any rank. Collective.
  logical function any_rank(condition)
    logical, intent(in) :: condition  !! on this rank

    call MPI_Allreduce(condition, any_rank, 1, MPI_LOGICAL, MPI_LOR, MPI_COMM_WORLD)
  end function any_rank

  !> End a run that this rank alone knows to be wrong.
  subroutine abort_run(message)
    character(*), intent(in) :: message  !! the sentence

    write (error_unit, '(2a)') 'phillips: ', trim(message)
    flush (error_unit)
    call MPI_Abort(MPI_COMM_WORLD, 1)
  end subroutine abort_run
end module failure
