!> Prints for each keyspace of the arguments the code of reading from it, its tensor 'x' and what is on its
!! list 'tiles'; then runs the model 'network' on the last one's x, and deletes this x.
program keyspaces
  use, intrinsic :: iso_fortran_env, only: real32, real64
  use expectations, only: expect, expect_ok
  use parslflow_client, only: PF_OK, store_client, store_dataset, store_text
  implicit none
  type(store_client) :: store
  type(store_dataset) :: tile
  type(store_text), allocatable :: names(:)
  real(real64) :: x(1, 4), field(1)
  logical :: tensor_found, key_found
  character(len=100) :: source
  integer :: error, i

  error = store%connect()
  call expect_ok(error, store)
  do i = 1, command_argument_count()
    call get_command_argument(i, source)
    error = store%set_data_source(source)
    if (error /= PF_OK) then
      print '(i0,1x,a)', error, store%message()
      cycle
    end if
    call expect_ok(store%get_tensor('x', x), store)
    call expect_ok(store%get_list('tiles', names), store)
    call expect_ok(store%get_dataset(names(1)%text, tile), store)
    call expect_ok(tile%get_tensor('field', field), tile)
    print '(i0,2(1x,f0.1),1x,i0,1x,a)', error, x(1, 1), field(1), size(names), names(1)%text
  end do
  call expect_ok(store%tensor_exists('x', tensor_found), store)
  call expect_ok(store%key_exists('x', key_found), store)
  call expect(tensor_found .and. .not. key_found, 'a tensor is in a keyspace, and a key in none')
  call expect_ok(store%run_model('network', ['x'], ['y']), store)
  call expect_ok(store%put_tensor('z', x), store)
  call expect_ok(store%delete_tensor('x'), store)
  call expect_ok(store%tensor_exists('x', tensor_found), store)
  call expect(.not. tensor_found, 'a deleted tensor is there')
  print '(i0,1x,a)', store%get_tensor('x', x), store%message()
  call tile%free()
  error = store%disconnect()
end program keyspaces
