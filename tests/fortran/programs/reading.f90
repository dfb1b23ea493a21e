!> Puts a data set with all that one can hold, gets it back, and looks at everything in it.
program reading
  use, intrinsic :: iso_fortran_env, only: int8, int16, int32, int64, real32, real64
  use expectations, only: expect, expect_ok
  use parslflow_client
  implicit none
  type(store_client) :: store
  type(store_dataset) :: made, got
  real(real64), target :: wide(40, 50)
  real(real64), pointer :: corner(:, :)
  real(real64) :: field(4, 6), four(2, 3, 2, 2)
  real(real64), allocatable :: doubles(:)
  real(real32) :: singles(5)
  real(real32), allocatable :: floats(:)
  integer(int8) :: i8(2, 3), i8_back(2, 3)
  integer(int16) :: i16(2, 3, 2), i16_back(2, 3, 2)
  integer(int32), allocatable :: ints(:)
  integer(int64) :: i64(3), i64_back(3), length
  integer(int64), allocatable :: longs(:), extents(:)
  type(store_text), allocatable :: names(:), texts(:)
  character(len=:), allocatable :: type_name
  integer :: error, i

  error = store%connect()
  call expect_ok(error, store)
  call random_number(field)
  call random_number(four)
  i8 = int(reshape([(-i, i=1, 6)], [2, 3]), int8)
  i16 = int(reshape([(300*i, i=1, 12)], [2, 3, 2]), int16)
  i64 = [-2_int64**62, 0_int64, 2_int64**40]

  call expect_ok(made%initialize('made'), made)
  call expect_ok(made%add_tensor('field', field), made)
  call expect_ok(made%add_tensor('every second', field(::2, 6:1:-2)), made)
  call expect_ok(made%add_tensor('four', four), made)
  call expect_ok(made%add_tensor('singles', [(i/3.0_real32, i=1, 5)]), made)
  call expect_ok(made%add_tensor('i8', i8), made)
  call expect_ok(made%add_tensor('i16', i16), made)
  call expect_ok(made%add_tensor('i64', i64), made)
  do i = 1, 3
    call expect_ok(made%add_metadata('int32', i), made)
    call expect_ok(made%add_metadata('int64', i*2_int64**40), made)
    call expect_ok(made%add_metadata('real32', i/3.0_real32), made)
    call expect_ok(made%add_metadata('real64', i/3.0_real64), made)
  end do
  call expect_ok(made%add_metadata('text', 'one'), made)
  call expect_ok(made%add_metadata('text', ''), made)
  call expect_ok(made%add_metadata('text', 'and the third'), made)
  call look(made) ! also before it has travelled

  call expect_ok(store%list_length('made sets', length), store)
  call expect(length == 0, 'a list that is not there is empty')
  call expect_ok(store%get_list('made sets', names), store)
  call expect(size(names) == 0, 'a list that is not there names nothing')
  call expect_ok(store%put_dataset_to_list('made sets', made), store)
  call expect_ok(got%initialize('replaced'), got)
  call expect_ok(got%add_metadata('old', 1), got)
  call expect_ok(store%get_dataset('made', got), store)
  call expect(got%get_metadata('old', ints) == PF_MISSING_KEY, 'what it held is gone')
  call look(got)

  ! What was got can be added to and put again.
  call expect_ok(got%add_metadata('text', 'a fourth'), got)
  call expect_ok(got%add_tensor('more', [1_int32]), got)
  call expect_ok(store%put_dataset_to_list('made sets', got), store)
  call expect(store%get_dataset('none', got) == PF_MISSING_KEY, 'there is no such data set')
  call expect_ok(got%get_metadata('text', texts), got)
  call expect(size(texts) == 4, 'a data set is unchanged on errors')
  call made%free()
  call expect_ok(store%get_dataset('made', made), store)
  call expect_ok(made%get_metadata('text', texts), made)
  call expect(size(texts) == 4 .and. texts(4)%text == 'a fourth', 'a field was appended to')
  call expect_ok(made%tensor_names(names), made)
  call expect(size(names) == 8 .and. names(8)%text == 'more', 'a tensor was added')
  call expect_ok(store%list_length('made sets', length), store)
  call expect_ok(store%get_list('made sets', names), store)
  call expect(length == 2 .and. size(names) == 2, 'the list has both appends')
  call expect(names(1)%text == 'made' .and. names(2)%text == 'made', 'the list has their names')

  call expect_ok(made%initialize('bare'), made)
  call expect_ok(made%add_metadata('status', 0), made)
  call expect_ok(store%put_dataset(made), store)
  call expect_ok(store%get_dataset('bare', got), store)
  call expect_ok(got%tensor_names(names), got)
  call expect(size(names) == 0, 'a data set may have no tensors')
  call made%free()
  call got%free()
  error = store%disconnect()

contains

  !> All that was added.
  subroutine look(tile)
    type(store_dataset), intent(in) :: tile

    call expect_ok(tile%tensor_names(names), tile)
    call expect(size(names) == 7, 'a tensor is missing')
    call expect(names(1)%text == 'field' .and. names(2)%text == 'every second' .and. &
                names(7)%text == 'i64', 'the tensors are not in their order')
    call expect_type(tile, 'field', 'DOUBLE', [4, 6])
    call expect_type(tile, 'every second', 'DOUBLE', [2, 3])
    call expect_type(tile, 'four', 'DOUBLE', [2, 3, 2, 2])
    call expect_type(tile, 'singles', 'FLOAT', [5])
    call expect_type(tile, 'i8', 'INT8', [2, 3])
    call expect_type(tile, 'i16', 'INT16', [2, 3, 2])
    call expect_type(tile, 'i64', 'INT64', [3])

    wide = -1
    corner => wide(2:8:2, 3:8)
    call expect_ok(tile%get_tensor('field', corner), tile)
    call expect(all(wide(2:8:2, 3:8) == field), 'a pointer gets the values')
    call expect(count(wide /= -1) == 24, 'and nothing else does')
    call expect_ok(tile%get_tensor('every second', wide(1:2, 1:3)), tile)
    call expect(all(wide(1:2, 1:3) == field(::2, 6:1:-2)), 'a slice of a slice')
    four = -four
    call expect_ok(tile%get_tensor('four', four), tile)
    call expect(all(four > 0), 'rank 4')
    call expect_ok(tile%get_tensor('singles', singles), tile)
    call expect(all(singles == [(i/3.0_real32, i=1, 5)]), 'real32')
    call expect_ok(tile%get_tensor('i8', i8_back), tile)
    call expect(all(i8_back == i8), 'int8')
    call expect_ok(tile%get_tensor('i16', i16_back), tile)
    call expect(all(i16_back == i16), 'int16')
    call expect_ok(tile%get_tensor('i64', i64_back), tile)
    call expect(all(i64_back == i64), 'int64')

    call expect_ok(tile%get_metadata('int32', ints), tile)
    call expect(size(ints) == 3 .and. all(ints == [1, 2, 3]), 'metadata int32')
    call expect_ok(tile%get_metadata('int64', longs), tile)
    call expect(size(longs) == 3 .and. all(longs == [1, 2, 3]*2_int64**40), 'metadata int64')
    call expect_ok(tile%get_metadata('real32', floats), tile)
    call expect(size(floats) == 3 .and. all(floats == [(i/3.0_real32, i=1, 3)]), 'metadata real32')
    call expect_ok(tile%get_metadata('real64', doubles), tile)
    call expect(size(doubles) == 3 .and. all(doubles == [(i/3.0_real64, i=1, 3)]), 'metadata real64')
    call expect_ok(tile%get_metadata('text', texts), tile)
    call expect(size(texts) == 3, 'metadata text')
    call expect(texts(1)%text == 'one' .and. len(texts(2)%text) == 0 .and. &
                texts(3)%text == 'and the third', 'the texts of metadata')
  end subroutine look

  subroutine expect_type(tile, name, wanted_type, wanted_shape)
    type(store_dataset), intent(in) :: tile
    character(len=*), intent(in) :: name, wanted_type
    integer, intent(in) :: wanted_shape(:)

    call expect_ok(tile%describe_tensor(name, type_name, extents), tile)
    call expect(type_name == wanted_type, 'the type of '//name)
    call expect(size(extents) == size(wanted_shape), 'the rank of '//name)
    call expect(all(extents == wanted_shape), 'the shape of '//name)
  end subroutine expect_type
end program reading
