!> Puts data sets, on a list and off it.
program datasets
  use, intrinsic :: iso_fortran_env, only: int8, int16, int32, int64, real32, real64
  use expectations, only: expect_ok
  use parslflow_client, only: store_client, store_dataset
  implicit none
  type(store_client) :: store
  type(store_dataset) :: tile
  real(real64) :: field(3, 4)
  integer :: error, i

  error = store%connect()
  call expect_ok(error, store)
  field = reshape([(real(i, real64), i=1, 12)], [3, 4])
  error = tile%initialize('first ')
  call expect_ok(error, tile)
  call expect_ok(tile%add_tensor('field', field), tile)
  call expect_ok(tile%add_tensor('inner', field(2:2, 2:3)), tile)
  call expect_ok(tile%add_tensor('layers', reshape(real(field, real32), [3, 2, 2])), tile)
  call expect_ok(tile%add_tensor('marks', [7_int32, 8_int32]), tile)
  call expect_ok(tile%add_tensor('i8', [-8_int8]), tile)
  call expect_ok(tile%add_tensor('i16', [-16_int16]), tile)
  call expect_ok(tile%add_tensor('i64', [-2_int64**40]), tile)
  call expect_ok(tile%add_metadata('isc', 3), tile)
  call expect_ok(tile%add_metadata('day', 0.1_real64), tile)
  call expect_ok(tile%add_metadata('run', 'high-1   '), tile)
  call expect_ok(tile%add_metadata('levels', 1), tile)
  call expect_ok(tile%add_metadata('levels', 2), tile)
  call expect_ok(tile%add_metadata('single', 0.5_real32), tile)
  call expect_ok(tile%add_metadata('large', 2_int64**40), tile)
  field = 0 ! the data set holds a copy
  call expect_ok(store%put_dataset_to_list('tiles', tile), store)

  error = tile%initialize('second')
  call expect_ok(error, tile)
  call expect_ok(tile%add_metadata('status', 0), tile)
  call expect_ok(store%put_dataset(tile), store)
  call expect_ok(store%append_to_list('tiles', tile), store)
  call tile%free()
  error = store%disconnect()
end program datasets
