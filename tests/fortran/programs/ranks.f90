!> Each rank puts a data set a day on the same list.
program ranks
  use, intrinsic :: iso_fortran_env, only: real64
  use expectations, only: expect_ok
  use mpi_f08
  use parslflow_client, only: store_client, store_dataset
  implicit none
  integer, parameter :: DAYS = 5
  type(store_client) :: store
  type(store_dataset) :: tile
  real(real64) :: field(20, 30)
  character(len=40) :: name
  integer :: day, error, rank

  call MPI_Init()
  call MPI_Comm_rank(MPI_COMM_WORLD, rank)
  error = store%connect()
  call expect_ok(error, store)
  do day = 1, DAYS
    field = 100*rank + day
    write (name, '("run_",i7.7,".00000_",i6.6)') day, rank
    error = tile%initialize(name)
    call expect_ok(error, tile)
    call expect_ok(tile%add_tensor('field', field), tile)
    call expect_ok(tile%add_metadata('rank', rank), tile)
    call expect_ok(store%put_dataset_to_list('tiles', tile), store)
  end do
  call tile%free()
  error = store%disconnect()
  call MPI_Finalize()
end program ranks
