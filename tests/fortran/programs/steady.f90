!> Sends so many data sets as the argument says, one after another, each with its number as a field.
program steady
  use, intrinsic :: iso_fortran_env, only: output_unit, real64
  use expectations, only: expect_ok
  use parslflow_client, only: store_client, store_dataset
  implicit none
  type(store_client) :: store
  type(store_dataset) :: tile
  real(real64) :: field(100, 100)
  character(len=20) :: argument
  integer :: error, count, i

  call get_command_argument(1, argument)
  read (argument, *) count
  call expect_ok(store%connect(20.0_real64), store)
  do i = 1, count
    field = i
    write (argument, '("tile_",i6.6)') i
    error = tile%initialize(argument)
    error = tile%add_tensor('field', field)
    call expect_ok(store%put_dataset_to_list('tiles', tile), store)
    print '(a)', trim(argument)
    flush (output_unit)
  end do
  call tile%free()
  error = store%disconnect()
end program steady
