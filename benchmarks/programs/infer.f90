!> Asks the model that the first argument names for its answer to (rows, 4) features, in the file of the
!! second, rows of the third, as often as a line of input says, and prints how long one answer took, s.
program infer
  use, intrinsic :: iso_fortran_env, only: error_unit, int64, output_unit, real32, real64
  use parslflow_client, only: PF_OK, store_client
  implicit none
  type(store_client) :: store
  real(real64), allocatable :: features(:, :)
  real(real32), allocatable :: answer(:)
  character(len=1000) :: model, path, number
  integer :: rows, count, end, error, file, i
  integer(int64) :: started, ended, rate

  call get_command_argument(1, model)
  call get_command_argument(2, path)
  call get_command_argument(3, number)
  read (number, *) rows
  allocate (features(rows, 4), answer(rows))
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
