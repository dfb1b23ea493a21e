!> Logs values of each type. Arguments: the path of the metadata, a data set and a model.
program cmf_typed
  use, intrinsic :: iso_fortran_env, only: int64, real64
  use cmflib, only: cmf_row, cmf_type
  implicit none
  type(cmf_type) :: cmf
  type(cmf_row) :: row, copy
  character(len=200) :: paths(3)
  character(len=6) :: names(2) = [character(len=6) :: 'u', 'energy']
  integer :: grid(4) = [1, 2, 3, 4], i

  do i = 1, 3
    call get_command_argument(i, paths(i))
  end do
  call cmf%initialize(paths(1), 'typed', 'simulation', 'in-fortran')

  call cmf%log_metric('int32', names, [1, -2])
  call cmf%log_metric('int64', names, [huge(1_int64), -huge(1_int64)])
  call cmf%log_metric('real32', names, [0.5, 1.5e30])
  call cmf%log_metric('real64', names, [0.1_real64, tiny(1.0_real64)])

  call row%set('int32', 7)
  call row%set('int64', huge(1_int64))
  call row%set('real32', 0.1)
  call row%set('real64', 0.1_real64)
  call row%set('text', 'a "word"  ')
  call row%set('int32s', grid(1:4:2))
  call row%set('int64s', [1_int64, huge(1_int64)])
  call row%set('real32s', [0.5, 0.25])
  call row%set('real64s', [real(real64) :: ])
  call row%set('texts', ['one  ', 'three'])
  copy = row
  call row%set('int32', 'now text')
  call cmf%log_metric('row', row)
  call row%clear()
  call row%set('ranks', 4)
  call cmf%update_execution(row)
  call cmf%log_metric('copy', copy)
  call cmf%log_dataset(paths(2), 'input')
  call cmf%log_model(paths(3), 'output', row)
  call cmf%log_execution_metrics(copy)
  call cmf%finalize()
end program cmf_typed
