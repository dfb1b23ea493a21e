!> Prints the data set that all writers put, as our client reads it off the list.
!!
!! A tensor's line: name, type, rank, shape, elements in Fortran's order; a field's: name, values.
program our_reader
  use, intrinsic :: iso_fortran_env, only: int8, int16, int32, int64, real32, real64
  use expectations, only: expect, expect_ok
  use parslflow_client, only: store_client, store_dataset, store_text
  implicit none
  type(store_client) :: store
  type(store_dataset) :: tile
  real(real64) :: field(3, 4), inner(1, 2)
  real(real64), allocatable :: day(:)
  real(real32) :: layers(3, 2, 2)
  real(real32), allocatable :: single(:)
  integer(int8) :: i8(1)
  integer(int16) :: i16(1)
  integer(int32) :: marks(2)
  integer(int32), allocatable :: isc(:), levels(:)
  integer(int64) :: i64(1), length
  integer(int64), allocatable :: large(:)
  type(store_text), allocatable :: names(:), run(:)
  integer :: error, i

  error = store%connect()
  call expect_ok(error, store)
  call expect_ok(store%list_length('tiles', length), store)
  call expect_ok(store%get_list('tiles', names), store)
  call expect(length == 1 .and. size(names) == 1, 'the list does not hold one data set')
  call expect_ok(store%get_dataset(names(1)%text, tile), store)
  call expect_ok(tile%get_tensor('field', field), tile)
  call expect_ok(tile%get_tensor('inner', inner), tile)
  call expect_ok(tile%get_tensor('layers', layers), tile)
  call expect_ok(tile%get_tensor('marks', marks), tile)
  call expect_ok(tile%get_tensor('i8', i8), tile)
  call expect_ok(tile%get_tensor('i16', i16), tile)
  call expect_ok(tile%get_tensor('i64', i64), tile)
  call expect_ok(tile%tensor_names(names), tile)
  do i = 1, size(names)
    call describe(names(i)%text)
    select case (names(i)%text)
    case ('field')
      print '(*(1x, es24.16))', field
    case ('inner')
      print '(*(1x, es24.16))', inner
    case ('layers')
      print '(*(1x, es24.16))', layers
    case ('marks')
      print '(*(1x, i0))', marks
    case ('i8')
      print '(*(1x, i0))', i8
    case ('i16')
      print '(*(1x, i0))', i16
    case ('i64')
      print '(*(1x, i0))', i64
    case default
      print '(a)', '' ! of a type that Fortran has not
    end select
  end do
  call expect_ok(tile%get_metadata('isc', isc), tile)
  call expect_ok(tile%get_metadata('day', day), tile)
  call expect_ok(tile%get_metadata('levels', levels), tile)
  call expect_ok(tile%get_metadata('run', run), tile)
  call expect_ok(tile%get_metadata('single', single), tile)
  call expect_ok(tile%get_metadata('large', large), tile)
  print '(a, *(1x, i0))', 'isc', isc
  print '(a, *(1x, es24.16))', 'day', day
  print '(a, *(1x, i0))', 'levels', levels
  print '(a, *(1x, a))', 'run', (run(i)%text, i=1, size(run))
  print '(a, *(1x, es24.16))', 'single', single
  print '(a, *(1x, i0))', 'large', large
  call tile%free()
  error = store%disconnect()

contains

  !> Prints name, type, rank and shape.
  subroutine describe(name)
    character(len=*), intent(in) :: name
    character(len=:), allocatable :: type_name
    integer(int64), allocatable :: extents(:)

    call expect_ok(tile%describe_tensor(name, type_name, extents), tile)
    write (*, '(a, 1x, a, *(1x, i0))', advance='no') name, type_name, size(extents), extents
  end subroutine describe
end program our_reader
