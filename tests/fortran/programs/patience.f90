!> Connects with the time limit given as argument, waits for a line of input, puts one data set on the
!! list, and says how each went.
program patience
  use, intrinsic :: iso_fortran_env, only: output_unit, real64
  use parslflow_client, only: store_client, store_dataset
  implicit none
  type(store_client) :: store
  type(store_dataset) :: tile
  real(real64) :: time_limit, field(500, 500)
  character(len=20) :: argument
  integer :: error

  call get_command_argument(1, argument)
  read (argument, *) time_limit
  error = store%connect(time_limit)
  print '(i0,1x,a)', error, store%message()
  flush (output_unit)
  read (*, *, end=1)
1 field = 1
  error = tile%initialize('late')
  error = tile%add_tensor('field', field)
  error = store%put_dataset_to_list('tiles', tile)
  print '(i0,1x,a)', error, store%message()
  call tile%free()
  error = store%disconnect()
end program patience
