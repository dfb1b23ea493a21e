!> Reads what is not there, or damaged, and prints for each the error code and the message.
program reading_errors
  use, intrinsic :: iso_fortran_env, only: int8, int32, int64, real32, real64
  use expectations, only: expect
  use parslflow_client
  implicit none
  type(store_client) :: store
  type(store_dataset) :: tile
  real(real64) :: field(3, 4) = 1, other(4, 3) = 2
  integer(int8) :: bytes(2)
  integer(int32), allocatable :: ints(:)
  integer(int64), allocatable :: longs(:), extents(:)
  integer(int64) :: length
  real(real32), allocatable :: floats(:)
  real(real64), allocatable :: doubles(:)
  type(store_text), allocatable :: texts(:), names(:)
  character(len=:), allocatable :: type_name

  call of_store(PF_CONNECTION, store%get_dataset('tile', tile))
  call of_store(PF_CONNECTION, store%list_length('tiles', length))
  call of_tile(PF_BAD_ARGUMENT, tile%get_tensor('field', field))
  call of_tile(PF_BAD_ARGUMENT, tile%tensor_names(names))
  call of_tile(PF_BAD_ARGUMENT, tile%get_metadata('run', ints))
  call of_store(PF_OK, store%connect(10.0_real64))
  call of_store(PF_BAD_ARGUMENT, store%get_dataset(' ', tile))
  call of_store(PF_MISSING_KEY, store%get_dataset('nothing', tile))
  call of_store(PF_SERVER, store%get_dataset('other', tile))
  call of_store(PF_MISSING_KEY, store%get_dataset('gone', tile))
  call of_store(PF_SERVER, store%get_dataset('hash', tile))
  call of_store(PF_DAMAGED, store%get_dataset('numbers', tile))
  call of_store(PF_DAMAGED, store%get_dataset('cut', tile))
  call of_store(PF_BAD_ARGUMENT, store%get_list('', names))
  call of_store(PF_SERVER, store%list_length('text', length))
  call expect(length == 0, 'no length')
  call of_store(PF_SERVER, store%get_list('text', names))
  call of_store(PF_DAMAGED, store%get_list('prefixed', names))
  call of_store(PF_DAMAGED, store%get_list('strange', names))
  call expect(.not. allocated(names), 'no names')

  call of_store(PF_OK, store%get_dataset('tile', tile))
  call of_tile(PF_MISSING_KEY, tile%get_tensor('nothing', field))
  call of_tile(PF_MISSING_KEY, tile%describe_tensor('nothing', type_name, extents))
  call expect(.not. allocated(type_name), 'no type')
  call of_tile(PF_WRONG_SHAPE, tile%get_tensor('field', other))
  call expect(all(other == 2), 'the array is unchanged')
  call of_tile(PF_WRONG_SHAPE, tile%get_tensor('field', other(:, 1)))
  call of_tile(PF_WRONG_TYPE, tile%get_tensor('field', bytes))
  call of_tile(PF_WRONG_TYPE, tile%get_tensor('u8', bytes))
  call of_tile(PF_OK, tile%describe_tensor('u8', type_name, extents))
  call expect(type_name == 'UINT8' .and. all(extents == [2]), 'a type that Fortran has not')
  call of_tile(PF_OK, tile%get_tensor('field', field))
  call of_tile(PF_MISSING_KEY, tile%get_metadata('nothing', ints))
  call of_tile(PF_WRONG_TYPE, tile%get_metadata('day', ints))
  call expect(.not. allocated(ints), 'no metadata')
  call of_tile(PF_WRONG_TYPE, tile%get_metadata('day', floats))
  call of_tile(PF_WRONG_TYPE, tile%get_metadata('day', texts))
  call of_tile(PF_WRONG_TYPE, tile%get_metadata('run', longs))
  call of_tile(PF_WRONG_TYPE, tile%get_metadata('u32', ints))
  call of_tile(PF_DAMAGED, tile%get_metadata('empty', ints))
  call of_tile(PF_DAMAGED, tile%get_metadata('unknown', ints))
  call of_tile(PF_DAMAGED, tile%get_metadata('cut double', doubles))
  call of_tile(PF_DAMAGED, tile%get_metadata('cut length', texts))
  call of_tile(PF_DAMAGED, tile%get_metadata('cut string', texts))
  call of_tile(PF_DAMAGED, tile%get_metadata('zero', texts))
  call expect(.not. allocated(texts), 'no texts')
  call of_tile(PF_OK, tile%get_metadata('day', doubles))
  call expect(all(doubles == [0.5_real64]), 'the rest can be read')
  call of_tile(PF_WRONG_TYPE, tile%add_metadata('empty', 1))
  call tile%free()
  call of_store(PF_OK, store%disconnect())

contains

  subroutine of_store(wanted, error)
    integer, intent(in) :: wanted, error

    print '(i0,1x,i0,1x,a)', wanted, error, store%message()
  end subroutine of_store

  subroutine of_tile(wanted, error)
    integer, intent(in) :: wanted, error

    print '(i0,1x,i0,1x,a)', wanted, error, tile%message()
  end subroutine of_tile
end program reading_errors
