!> Stores the model in the file given as argument, runs it on 5 rows, and prints the answer.
program model
  use, intrinsic :: iso_fortran_env, only: real32, real64
  use expectations, only: expect, expect_ok
  use parslflow_client, only: PF_MISSING_KEY, store_client
  implicit none
  type(store_client) :: store
  real(real64) :: features(5, 4)
  real(real32) :: answer(5)
  character(len=1000) :: path
  integer :: error, i

  call get_command_argument(1, path)
  features = reshape([(real(i, real64), i=1, 20)], [5, 4])
  error = store%connect()
  call expect_ok(error, store)
  call expect_ok(store%set_model_from_file('network', path, 'CPU'), store)
  call expect_ok(store%put_tensor('features', features), store)
  call expect_ok(store%run_model('network', ['features'], ['answer']), store)
  call expect_ok(store%get_tensor('answer', answer), store)
  error = store%run_model('network', ['features', 'nothing '], ['answer'])
  call expect(error == PF_MISSING_KEY, 'an input is missing: '//store%message())
  call expect(index(store%message(), "no key 'nothing'") > 0, store%message())
  print '(5(f0.2,1x))', answer
  error = store%disconnect()
end program model
