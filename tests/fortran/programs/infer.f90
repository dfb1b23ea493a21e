!> Asks the model named by the first argument for its answer to (n, 4) features, n by the second. They
!! are read from the file of the third argument, and the answer is written to that of the fourth. Prints
!! the error code and the message of connecting, of inference and of putting a tensor.
program infer
  use, intrinsic :: iso_fortran_env, only: int32, real32, real64
  use parslflow_client, only: store_client
  implicit none
  type(store_client) :: store
  real(real64), allocatable :: features(:, :)
  real(real32), allocatable :: answer(:)
  character(len=1000) :: model, rows, from, to
  integer :: error, n, file, turn

  call get_command_argument(1, model)
  call get_command_argument(2, rows)
  call get_command_argument(3, from)
  call get_command_argument(4, to)
  read (rows, *) n
  allocate (features(n, 4), answer(n))
  open (newunit=file, file=from, access='stream', form='unformatted', status='old', action='read')
  read (file) features
  close (file)
  error = store%connect(20.0_real64)
  print '(i0,1x,a)', error, store%message()
  do turn = 1, 4 ! TorchScript optimizes itself while it is called the first times
    answer = -1
    error = store%infer(model, features, answer)
  end do
  print '(i0,1x,a)', error, store%message()
  open (newunit=file, file=to, access='stream', form='unformatted', status='replace')
  write (file) answer
  close (file)
  error = store%put_tensor('features', features)
  print '(i0,1x,a)', error, store%message()
  error = store%disconnect()
end program infer
