!! Whole fields on rank 0 from the blocks of all the ranks.
module gather
  use mpi_f08, only: MPI_COMM_WORLD, MPI_DOUBLE_PRECISION, MPI_Gatherv
  use constants, only: dp, halo
  use domain, only: block, block_range
  implicit none
  private
  public :: whole_field

contains

  !> The whole field on rank 0, an empty one elsewhere; collective.
  function whole_field(b, local) result(whole)
    type(block), intent(in) :: b
    real(dp), intent(in), contiguous :: local(1 - halo:, 1 - halo:)  !! with its halo
    real(dp), allocatable :: whole(:, :)

    real(dp) :: mine(b%ni * b%nj)
    real(dp), allocatable :: all(:)
    integer :: counts(0:b%ranks - 1), starts(0:b%ranks - 1)
    integer :: rank, west, east, south, north

    starts(0) = 0
    do rank = 0, b%ranks - 1
      call bounds(rank)
      counts(rank) = (east - west + 1) * (north - south + 1)
      if (rank > 0) starts(rank) = starts(rank - 1) + counts(rank - 1)
    end do
    mine = reshape(local(1:b%ni, 1:b%nj), [b%ni * b%nj])
    allocate (all(merge(b%nx * b%ny, 0, b%rank == 0)))
    call MPI_Gatherv(mine, size(mine), MPI_DOUBLE_PRECISION, all, counts, starts, MPI_DOUBLE_PRECISION, 0, &
      MPI_COMM_WORLD)
    if (b%rank /= 0) then
      allocate (whole(0, 0))
      return
    end if
    allocate (whole(b%nx, b%ny))
    do rank = 0, b%ranks - 1
      call bounds(rank)
      whole(west:east, south:north) = reshape(all(starts(rank) + 1:starts(rank) + counts(rank)), &
        [east - west + 1, north - south + 1])
    end do

  contains

    subroutine bounds(rank)
      integer, intent(in) :: rank

      call block_range(b%nx, b%px, mod(rank, b%px), west, east)
      call block_range(b%ny, b%py, rank / b%px, south, north)
    end subroutine bounds
  end function whole_field
end module gather
