!> Each rank streams its tiles and asks the model for an answer: stock_ranks DAYS
program stock_ranks
  use, intrinsic :: iso_fortran_env, only: real32, real64
  use mpi_f08, only: MPI_Barrier, MPI_COMM_WORLD, MPI_Comm_rank, MPI_Finalize, MPI_Init
  use smartredis_client, only: client_type
  use smartredis_dataset, only: dataset_type
  use stock_expectations, only: expect, expect_ok
  implicit none
  type(client_type) :: client
  type(dataset_type) :: tile
  real(real64) :: features(5, 4)
  real(real32) :: answer(5)
  character(len=20) :: argument, name, rank_name
  integer :: day, days, rank

  call MPI_Init()
  call MPI_Comm_rank(MPI_COMM_WORLD, rank)
  call get_command_argument(1, argument)
  read (argument, *) days
  write (rank_name, '(a, i0)') 'rank-', rank
  call expect_ok(client%initialize(trim(rank_name)))
  do day = 1, days
    write (name, '(a, i0, a, i0)') 'tile-', day, '-', rank
    features = 100 * rank + day
    call expect_ok(tile%initialize(trim(name)))
    call expect_ok(tile%add_tensor('field', features, shape(features)))
    call expect_ok(tile%add_meta_scalar('rank', rank))
    call expect_ok(client%put_dataset(tile))
    call expect_ok(client%append_to_list('tiles', tile))
    call expect_ok(client%put_tensor(trim(rank_name), features, shape(features)))
    call expect_ok(client%run_model('rows', [rank_name], [character(len=24) :: trim(rank_name)//'-eke']))
    call expect_ok(client%unpack_tensor(trim(rank_name)//'-eke', answer, shape(answer)))
    call expect(maxval(abs(answer - 1.25 * (100 * rank + day))) < 1e-3, 'the model gave another answer')
  end do
  call MPI_Barrier(MPI_COMM_WORLD)
  call expect_ok(client%destructor())
  call MPI_Finalize()
end program stock_ranks
