!> Asks the model named by the argument for its answer to (1200, 4) features as often as a line of input
!! says, and prints how long one answer took, s.
program infer
  use, intrinsic :: iso_fortran_env, only: error_unit, int64, output_unit, real32, real64
  use parslflow_client, only: PF_OK, store_client
  implicit none
  integer, parameter :: rows = 1200
  type(store_client) :: store
  real(real64) :: features(rows, 4)
  real(real32) :: answer(rows)
  character(len=1000) :: model, path
  integer :: count, end, error, file, i
  integer(int64) :: started, ended, rate

  call get_command_argument(1, model)
  call get_command_argument(2, path)
  open (newunit=file, file=path, access='stream', form='unformatted', status='old', action='read')
  read (file) features
  close (file)
  error = store%connect()
  do while (error == PF_OK)
    read (*, *, iostat=end) count
    if (end /= 0) exit
    call system_clock(started, rate)
    do i = 1, count
      if (error == PF_OK) error = store%infer(model, features, answer)
    end do
    call system_clock(ended)
    print *, real(ended - started, real64)/rate/count, sum(real(answer, real64))
    flush (output_unit)
  end do
  if (error /= PF_OK) write (error_unit, '(a)') store%message()
  error = store%disconnect()
end program infer
