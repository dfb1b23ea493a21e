!! How the program ends when it cannot go on: one sentence on stderr and a non-zero exit code of all the ranks.
module failure
  use, intrinsic :: iso_fortran_env, only: error_unit
  use mpi_f08, only: MPI_Abort, MPI_Comm_rank, MPI_COMM_WORLD, MPI_Finalize
  implicit none
  private
  public :: stop_all, abort_run

contains

  !> End a run that all the ranks know to be wrong.
  subroutine stop_all(message)
    character(*), intent(in) :: message  !! the sentence, the same on every rank
    integer :: rank

    call MPI_Comm_rank(MPI_COMM_WORLD, rank)
    if (rank == 0) write (error_unit, '(2a)') 'phillips: ', trim(message)
    flush (error_unit)
    call MPI_Finalize()
    stop 1, quiet=.true.
  end subroutine stop_all

  !> End a run that this rank alone knows to be wrong.
  subroutine abort_run(message)
    character(*), intent(in) :: message  !! the sentence

    write (error_unit, '(2a)') 'phillips: ', trim(message)
    flush (error_unit)
    call MPI_Abort(MPI_COMM_WORLD, 1)
  end subroutine abort_run
end module failure
