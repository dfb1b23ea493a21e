!> Prints the tensors of the data set that all writers put, as our client reads them by their keys.
!!
!! A tensor's line: name, elements in Fortran's order. Its type and shape are those asked for, or the
!! call would fail.
program our_reader
  use, intrinsic :: iso_fortran_env, only: int32, real32, real64
  use expectations, only: expect_ok
  use parslflow_client, only: store_client
  implicit none
  type(store_client) :: store
  real(real64) :: field(3, 4), inner(1, 2)
  real(real32) :: layers(3, 2, 2)
  integer(int32) :: marks(2)
  integer :: error

  error = store%connect()
  call expect_ok(error, store)
  call expect_ok(store%get_tensor('{first}.field', field), store)
  call expect_ok(store%get_tensor('{first}.inner', inner), store)
  call expect_ok(store%get_tensor('{first}.layers', layers), store)
  call expect_ok(store%get_tensor('{first}.marks', marks), store)
  print '(a, *(1x, es24.16))', 'field', field
  print '(a, *(1x, es24.16))', 'inner', inner
  print '(a, *(1x, es24.16))', 'layers', layers
  print '(a, *(1x, i0))', 'marks', marks
  error = store%disconnect()
end program our_reader
