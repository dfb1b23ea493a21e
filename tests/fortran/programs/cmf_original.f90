!> Written for CMF's own interface, and nothing else. Arguments: the path of its metadata.
program cmf_original
  use cmflib, only: cmf_type
  implicit none
  type(cmf_type) :: cmf
  character(len=200) :: path
  character(len=24) :: keys(3), values(3)

  call get_command_argument(1, path)
  call cmf%initialize(path, 'original', 'training', 'in-fortran')
  if (.not. cmf%initialized()) error stop 'CMF did not initialize'
  keys(1) = 'epoch'; keys(2) = 'loss'; keys(3) = 'rates'
  write (values(1), '(i24)') 10
  write (values(2), '(es24.1e2)') 1.0e-5
  values(3) = '[10, 2.5]'
  call cmf%log_metric('losses', keys, values)
  call cmf%commit_metrics('losses')
  call cmf%finalize()
end program cmf_original
