!> Puts the data set that all writers put, by the stock client.
program stock_writer
  use, intrinsic :: iso_fortran_env, only: int8, int16, int32, int64, real32, real64
  use smartredis_client, only: client_type
  use smartredis_dataset, only: dataset_type
  use stock_expectations, only: expect_ok
  implicit none
  type(client_type) :: client
  type(dataset_type) :: tile
  real(real64) :: field(3, 4), inner(1, 2) ! the stock client sends contiguous arrays only
  integer :: i

  field = reshape([(real(i, real64), i=1, 12)], [3, 4])
  inner = field(2:2, 2:3)
  call expect_ok(client%initialize('stock_writer'))
  call expect_ok(tile%initialize('first'))
  call expect_ok(tile%add_tensor('field', field, shape(field)))
  call expect_ok(tile%add_tensor('inner', inner, shape(inner)))
  call expect_ok(tile%add_tensor('layers', reshape(real(field, real32), [3, 2, 2]), [3, 2, 2]))
  call expect_ok(tile%add_tensor('marks', [7_int32, 8_int32], [2]))
  call expect_ok(tile%add_tensor('i8', [-8_int8], [1]))
  call expect_ok(tile%add_tensor('i16', [-16_int16], [1]))
  call expect_ok(tile%add_tensor('i64', [-2_int64**40], [1]))
  call expect_ok(tile%add_meta_scalar('isc', 3_int32))
  call expect_ok(tile%add_meta_scalar('day', 0.1_real64))
  call expect_ok(tile%add_meta_string('run', 'high-1'))
  call expect_ok(tile%add_meta_scalar('levels', 1_int32))
  call expect_ok(tile%add_meta_scalar('levels', 2_int32))
  call expect_ok(tile%add_meta_scalar('single', 0.5_real32))
  call expect_ok(tile%add_meta_scalar('large', 2_int64**40))
  call expect_ok(client%put_dataset(tile))
  call expect_ok(client%append_to_list('tiles', tile))
  call expect_ok(client%destructor())
end program stock_writer
