!> Makes one mistake after another, and prints for each the error code and the message.
program errors
  use, intrinsic :: iso_fortran_env, only: int32, real32, real64
  use expectations, only: expect
  use parslflow_client
  implicit none
  type(store_client) :: store
  type(store_dataset) :: tile
  real(real64) :: field(3, 4) = 1, other(4, 3) = 2
  real(real64), allocatable :: none(:, :)
  integer(int32) :: marks(1)
  logical :: found

  call of_store(PF_CONNECTION, store%put_tensor('early', field))
  call of_tile(PF_BAD_ARGUMENT, tile%add_metadata('early', 1))
  call of_store(PF_OK, store%connect(10.0_real64))
  call of_store(PF_OK, store%put_tensor('field', field))
  call of_store(PF_MISSING_KEY, store%get_tensor('nothing', other))
  call of_store(PF_WRONG_SHAPE, store%get_tensor('field', other))
  call expect(all(other == 2), 'the array is unchanged')
  call of_store(PF_WRONG_SHAPE, store%get_tensor('field', other(:, 1)))
  call of_store(PF_WRONG_TYPE, store%get_tensor('field', marks))
  call of_store(PF_WRONG_TYPE, store%put_tensor('flags', [.true.]))
  call of_store(PF_WRONG_SHAPE, store%put_tensor('scalar', 1.0_real32))
  allocate (none(0, 3))
  call of_store(PF_WRONG_SHAPE, store%put_tensor('none', none))
  call of_store(PF_BAD_ARGUMENT, store%put_tensor('', field))
  call of_store(PF_MISSING_KEY, store%delete_tensor('nothing'))
  call of_store(PF_BAD_ARGUMENT, store%set_model_from_file('m', '/no/such.pt', 'CPU'))
  call of_store(PF_MISSING_KEY, store%run_model('no_model', ['field'], ['out']))
  call of_store(PF_BAD_ARGUMENT, store%put_dataset(tile))
  call of_tile(PF_BAD_ARGUMENT, tile%initialize(' '))
  call of_tile(PF_OK, tile%initialize('tile'))
  call of_tile(PF_OK, tile%add_tensor('field', field))
  call of_tile(PF_BAD_ARGUMENT, tile%add_tensor('field', field))
  call of_tile(PF_WRONG_TYPE, tile%add_tensor('text', ['text']))
  call of_tile(PF_BAD_ARGUMENT, tile%add_metadata('.COMPLETE', 1))
  call of_tile(PF_OK, tile%add_metadata('run', 'high-1'))
  call of_tile(PF_WRONG_TYPE, tile%add_metadata('run', 1))
  call of_store(PF_SERVER, store%put_dataset_to_list('field', tile))
  call of_store(PF_OK, store%key_exists('field', found))
  call expect(found, 'the client is still of use')
  call of_store(PF_OK, store%disconnect())
  call of_store(PF_CONNECTION, store%put_dataset(tile))
  call tile%free()

contains

  subroutine of_store(wanted, error)
    integer, intent(in) :: wanted, error

    print '(i0,1x,i0,1x,a)', wanted, error, store%message()
  end subroutine of_store

  subroutine of_tile(wanted, error)
    integer, intent(in) :: wanted, error

    print '(i0,1x,i0,1x,a)', wanted, error, tile%message()
  end subroutine of_tile
end program errors
