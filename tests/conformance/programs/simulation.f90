!> What a simulation does with the stock client: simulation MODEL SCRIPT
!!
!! Data sets are saved variables: the stock client does not initialize its handles, and its finalizer
!! frees whatever address the stack happens to hold.
program simulation
  use, intrinsic :: iso_fortran_env, only: int8, int16, int32, int64, real32, real64
  use smartredis_client, only: client_type
  use smartredis_dataset, only: dataset_type
  use smartredis_errors, only: get_last_error
  use stock_expectations, only: expect, expect_ok
  implicit none
  integer, parameter :: EVERY_MS = 10, TRIES = 200, COUNTS(2, 3) = reshape([1, 2, 3, 4, 5, 6], [2, 3])
  type(client_type) :: client
  character(len=1000) :: model, script

  call get_command_argument(1, model)
  call get_command_argument(2, script)
  call expect_ok(client%initialize('simulation'))
  call tensors_of_each_type()
  call keys()
  call data_sets()
  call lists()
  call models()
  call scripts()
  call errors()
  call expect_ok(client%destructor())

contains

  subroutine tensors_of_each_type()
    integer(int8) :: i8(2, 3), i8_back(2, 3)
    integer(int16) :: i16(2, 3), i16_back(2, 3)
    integer(int32) :: i32(2, 3), i32_back(2, 3)
    integer(int64) :: i64(2, 3), i64_back(2, 3)
    real(real32) :: r32(2, 3), r32_back(2, 3)
    real(real64) :: r64(2, 3), r64_back(2, 3), cube(4, 3, 2), cube_back(4, 3, 2), line(5), line_back(5)

    i8 = int(COUNTS, int8)
    i16 = int(COUNTS, int16)
    i32 = int(COUNTS, int32)
    i64 = int(COUNTS, int64)
    r32 = real(COUNTS, real32) / 2
    r64 = real(COUNTS, real64) / 3
    call random_number(cube)
    call random_number(line)
    call expect_ok(client%put_tensor('i8', i8, shape(i8)))
    call expect_ok(client%put_tensor('i16', i16, shape(i16)))
    call expect_ok(client%put_tensor('i32', i32, shape(i32)))
    call expect_ok(client%put_tensor('i64', i64, shape(i64)))
    call expect_ok(client%put_tensor('r32', r32, shape(r32)))
    call expect_ok(client%put_tensor('r64', r64, shape(r64)))
    call expect_ok(client%put_tensor('cube', cube, shape(cube)))
    call expect_ok(client%put_tensor('line', line, shape(line)))
    call expect_ok(client%unpack_tensor('i8', i8_back, shape(i8)))
    call expect_ok(client%unpack_tensor('i16', i16_back, shape(i16)))
    call expect_ok(client%unpack_tensor('i32', i32_back, shape(i32)))
    call expect_ok(client%unpack_tensor('i64', i64_back, shape(i64)))
    call expect_ok(client%unpack_tensor('r32', r32_back, shape(r32)))
    call expect_ok(client%unpack_tensor('r64', r64_back, shape(r64)))
    call expect_ok(client%unpack_tensor('cube', cube_back, shape(cube)))
    call expect_ok(client%unpack_tensor('line', line_back, shape(line)))
    call expect(all(i8_back == i8) .and. all(i16_back == i16), 'int8 or int16 came back changed')
    call expect(all(i32_back == i32) .and. all(i64_back == i64), 'int32 or int64 came back changed')
    call expect(.not. any(r32_back /= r32), 'real32 came back changed')
    call expect(.not. any(r64_back /= r64), 'real64 came back changed')
    call expect(.not. any(cube_back /= cube), 'an array of rank 3 came back changed')
    call expect(.not. any(line_back /= line), 'an array of rank 1 came back changed')
  end subroutine tensors_of_each_type

  subroutine keys()
    logical :: found

    call expect_ok(client%tensor_exists('line', found))
    call expect(found, 'a tensor is said not to exist')
    call expect_ok(client%key_exists('nothing', found))
    call expect(.not. found, 'a key is said to exist')
    call expect_ok(client%poll_tensor('line', EVERY_MS, TRIES, found))
    call expect(found, 'a tensor was not found by polling')
    call expect_ok(client%poll_key('nothing', EVERY_MS, 2, found))
    call expect(.not. found, 'a key was found by polling')
    call expect_ok(client%rename_tensor('line', 'renamed'))
    call expect_ok(client%copy_tensor('renamed', 'copy'))
    call expect_ok(client%delete_tensor('renamed'))
    call expect_ok(client%key_exists('copy', found))
    call expect(found, 'a copied tensor is not there')
    call expect_ok(client%tensor_exists('renamed', found))
    call expect(.not. found, 'a deleted tensor is there')
  end subroutine keys

  subroutine data_sets()
    type(dataset_type), save :: tile
    logical :: found

    call make(tile, 'tile', 1)
    call expect_ok(client%put_dataset(tile))
    call expect_ok(client%dataset_exists('tile', found))
    call expect(found, 'a data set is said not to exist')
    call expect_ok(client%poll_dataset('tile', EVERY_MS, TRIES, found))
    call expect(found, 'a data set was not found by polling')
    call expect_ok(client%copy_dataset('tile', 'tile_copy'))
    call expect_ok(client%rename_dataset('tile_copy', 'tile_renamed'))
    call check('tile_renamed', 1)
    call expect_ok(client%delete_dataset('tile_renamed'))
    call expect_ok(client%dataset_exists('tile_renamed', found))
    call expect(.not. found, 'a deleted data set is there')
  end subroutine data_sets

  subroutine make(tile, name, number)
    type(dataset_type), intent(inout) :: tile
    character(len=*), intent(in) :: name
    integer, intent(in) :: number

    call expect_ok(tile%initialize(name))
    call expect_ok(tile%add_tensor('field', COUNTS * number, shape(COUNTS)))
    call expect_ok(tile%add_meta_scalar('number', number))
    call expect_ok(tile%add_meta_string('run', 'high-1'))
  end subroutine make

  subroutine check(name, number)
    character(len=*), intent(in) :: name
    integer, intent(in) :: number
    type(dataset_type), save :: tile

    call expect_ok(client%get_dataset(name, tile))
    call check_content(tile, number)
  end subroutine check

  subroutine check_content(tile, number)
    type(dataset_type), intent(in) :: tile
    integer, intent(in) :: number
    integer :: field(2, 3)
    integer(int32), pointer :: numbers(:)

    call expect_ok(tile%unpack_dataset_tensor('field', field, shape(field)))
    call expect(all(field == COUNTS * number), 'a tensor of a data set came back changed')
    call expect_ok(tile%get_meta_scalars('number', numbers))
    call expect(size(numbers) == 1 .and. numbers(1) == number, 'metadata came back changed')
  end subroutine check_content

  subroutine lists()
    type(dataset_type), save :: tiles(3)
    type(dataset_type), allocatable :: found_tiles(:)
    character(len=6) :: name
    logical :: found
    integer :: i, length

    do i = 1, size(tiles)
      write (name, '(a, i1)') 'tile-', i
      call make(tiles(i), name, i)
      call expect_ok(client%put_dataset(tiles(i)))
      call expect_ok(client%append_to_list('tiles', tiles(i)))
    end do
    call expect_ok(client%get_list_length('tiles', length))
    call expect(length == 3, 'the list is not as long as what was appended')
    call expect_ok(client%poll_list_length('tiles', 3, EVERY_MS, TRIES, found))
    call expect(found, 'a list of 3 was not found by polling')
    call expect_ok(client%poll_list_length_gte('tiles', 2, EVERY_MS, TRIES, found))
    call expect(found, 'a list of 2 or more was not found by polling')
    call expect_ok(client%poll_list_length_lte('tiles', 2, EVERY_MS, 2, found))
    call expect(.not. found, 'a list of 2 or less was found by polling')
    call expect_ok(client%get_datasets_from_list('tiles', found_tiles, length))
    call expect(length == 3, 'not all data sets came from the list')
    do i = 1, length
      call check_content(found_tiles(i), i)
    end do
    call expect_ok(client%copy_list('tiles', 'copies'))
    call expect_ok(client%rename_list('copies', 'kept'))
    call expect_ok(client%get_list_length('kept', length))
    call expect(length == 3, 'a copied list is not whole')
    call expect_ok(client%delete_list('tiles'))
    call expect_ok(client%get_list_length('tiles', length))
    call expect(length == 0, 'a deleted list is there')
  end subroutine lists

  subroutine models()
    real(real64) :: features(5, 4)
    real(real32) :: answer(5)
    logical :: found

    call expect_ok(client%set_model_from_file('rows', trim(model), 'TORCH', 'CPU', tag='v1'))
    call expect_ok(client%model_exists('rows', found))
    call expect(found, 'a model is said not to exist')
    call expect_ok(client%poll_model('rows', EVERY_MS, TRIES, found))
    call expect(found, 'a model was not found by polling')
    call random_number(features)
    call expect_ok(client%put_tensor('features', features, shape(features)))
    call expect_ok(client%run_model('rows', ['features'], ['answer']))
    call expect_ok(client%unpack_tensor('answer', answer, shape(answer)))
    call expect(maxval(abs(answer - (features(:, 1) + features(:, 4) / 4))) < 1e-6, &
                'the model gave another answer')
    call expect_ok(client%delete_model('rows'))
    call expect_ok(client%model_exists('rows', found))
    call expect(.not. found, 'a deleted model is there')
  end subroutine models

  subroutine scripts()
    real(real64) :: total(4, 3, 2), cube(4, 3, 2)

    call expect_ok(client%set_script_from_file('sums', 'CPU', trim(script)))
    call expect_ok(client%run_script('sums', 'add', ['cube', 'cube'], ['total']))
    call expect_ok(client%unpack_tensor('cube', cube, shape(cube)))
    call expect_ok(client%unpack_tensor('total', total, shape(total)))
    call expect(.not. any(total /= 2 * cube), 'the script gave another answer')
    call expect_ok(client%delete_script('sums'))
  end subroutine scripts

  subroutine errors()
    real(real64) :: line(5)
    type(dataset_type), save :: tile

    call expect(client%unpack_tensor('nothing', line, shape(line)) /= 0, 'a missing tensor was read')
    call expect(len_trim(get_last_error()) > 0, 'an error has no message')
    call expect(client%unpack_tensor('cube', line, shape(line)) /= 0, 'a wrong shape was read')
    call expect(client%get_dataset('nothing', tile) /= 0, 'a missing data set was read')
    call expect(client%run_model('nothing', ['cube'], ['none']) /= 0, 'a missing model ran')
  end subroutine errors
end program simulation
