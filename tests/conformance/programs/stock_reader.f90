!> Prints the data set that all writers put, as the stock client reads it off the list.
!!
!! A tensor's line: name, type, shape, elements in Fortran's order; a field's: name, elements. The
!! stock Fortran client cannot read text.
program stock_reader
  use, intrinsic :: iso_fortran_env, only: int8, int16, int32, int64, real32, real64
  use smartredis_client, only: client_type
  use smartredis_dataset, only: dataset_type
  use stock_expectations, only: expect_ok
  implicit none
  type(client_type) :: client
  type(dataset_type), allocatable :: tiles(:)
  real(real64) :: field(3, 4), inner(1, 2)
  real(real64), pointer :: day(:)
  real(real32) :: layers(3, 2, 2)
  real(real32), pointer :: single(:)
  integer(int8) :: i8(1)
  integer(int16) :: i16(1)
  integer(int64) :: i64(1)
  integer(int64), pointer :: large(:)
  integer(int32) :: marks(2)
  integer(int32), pointer :: isc(:), levels(:)
  integer :: length

  call expect_ok(client%initialize('stock_reader'))
  call expect_ok(client%get_datasets_from_list('tiles', tiles, length))
  if (length /= 1) error stop 'the list does not hold one data set'
  call expect_ok(tiles(1)%unpack_dataset_tensor('field', field, shape(field)))
  call expect_ok(tiles(1)%unpack_dataset_tensor('inner', inner, shape(inner)))
  call expect_ok(tiles(1)%unpack_dataset_tensor('layers', layers, shape(layers)))
  call expect_ok(tiles(1)%unpack_dataset_tensor('marks', marks, shape(marks)))
  call expect_ok(tiles(1)%unpack_dataset_tensor('i8', i8, shape(i8)))
  call expect_ok(tiles(1)%unpack_dataset_tensor('i16', i16, shape(i16)))
  call expect_ok(tiles(1)%unpack_dataset_tensor('i64', i64, shape(i64)))
  call describe('field')
  print '(*(1x, es24.16))', field
  call describe('inner')
  print '(*(1x, es24.16))', inner
  call describe('layers')
  print '(*(1x, es24.16))', layers
  call describe('marks')
  print '(*(1x, i0))', marks
  call describe('i8')
  print '(*(1x, i0))', i8
  call describe('i16')
  print '(*(1x, i0))', i16
  call describe('i64')
  print '(*(1x, i0))', i64
  call expect_ok(tiles(1)%get_meta_scalars('isc', isc))
  call expect_ok(tiles(1)%get_meta_scalars('day', day))
  call expect_ok(tiles(1)%get_meta_scalars('levels', levels))
  call expect_ok(tiles(1)%get_meta_scalars('single', single))
  call expect_ok(tiles(1)%get_meta_scalars('large', large))
  print '(a, *(1x, i0))', 'isc', isc
  print '(a, *(1x, es24.16))', 'day', day
  print '(a, *(1x, i0))', 'levels', levels
  print '(a, *(1x, es24.16))', 'single', single
  print '(a, *(1x, i0))', 'large', large
  call expect_ok(client%destructor())

contains

  !> Prints name, type and shape.
  subroutine describe(name)
    character(len=*), intent(in) :: name
    integer :: kind, dims(3), rank

    rank = size(dims)
    call expect_ok(tiles(1)%get_tensor_type(name, kind))
    call expect_ok(tiles(1)%get_tensor_dims(name, dims, rank))
    write (*, '(a, *(1x, i0))', advance='no') name, kind, rank, dims(:rank)
  end subroutine describe
end program stock_reader
