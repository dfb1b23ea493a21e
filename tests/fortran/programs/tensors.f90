!> Puts a tensor of each type and rank, gets each back, and uses what Fortran knows of odd arrays.
program tensors
  use, intrinsic :: iso_fortran_env, only: int32, real32, real64
  use expectations, only: expect, expect_ok
  use parslflow_client, only: store_client
  implicit none
  type :: point
    real(real64) :: x, y
    integer(int32) :: mark
  end type point
  type(store_client) :: store
  type(point) :: points(5)
  integer(int32) :: i1(24), i2(4, 6), i3(2, 3, 4), back_i1(24), back_i2(4, 6), back_i3(2, 3, 4)
  real(real32) :: r1(24), r2(4, 6), r3(2, 3, 4), back_r1(24), back_r2(4, 6), back_r3(2, 3, 4)
  real(real64) :: d1(24), d2(-1:2, 0:5), d3(2, 3, 4), back_d1(24), back_d2(4, 6), back_d3(2, 3, 4)
  real(real64), allocatable :: four(:, :, :, :)
  real(real64), pointer :: corner(:, :)
  real(real64), target :: field(40, 50)
  logical :: found
  integer :: error, i

  error = store%connect()
  call expect_ok(error, store)
  i1 = [(i, i=1, 24)]
  i2 = reshape(i1, [4, 6])
  i3 = reshape(i1, [2, 3, 4])
  r1 = i1/2.0_real32
  r2 = i2/2.0_real32
  r3 = i3/2.0_real32
  d1 = i1/3.0_real64
  d2 = i2/3.0_real64
  d3 = i3/3.0_real64
  call expect_ok(store%put_tensor('i1', i1), store)
  call expect_ok(store%put_tensor('i2', i2), store)
  call expect_ok(store%put_tensor('i3', i3), store)
  call expect_ok(store%put_tensor('r1', r1), store)
  call expect_ok(store%put_tensor('r2', r2), store)
  call expect_ok(store%put_tensor('r3', r3), store)
  call expect_ok(store%put_tensor('d1', d1), store)
  call expect_ok(store%put_tensor('d2', d2), store)
  call expect_ok(store%put_tensor('d3', d3), store)
  call expect_ok(store%get_tensor('i1', back_i1), store)
  call expect_ok(store%get_tensor('i2', back_i2), store)
  call expect_ok(store%get_tensor('i3', back_i3), store)
  call expect_ok(store%get_tensor('r1', back_r1), store)
  call expect_ok(store%get_tensor('r2', back_r2), store)
  call expect_ok(store%get_tensor('r3', back_r3), store)
  call expect_ok(store%get_tensor('d1', back_d1), store)
  call expect_ok(store%get_tensor('d2', back_d2), store)
  call expect_ok(store%get_tensor('d3', back_d3), store)
  call expect(all(i1 == back_i1) .and. all(i2 == back_i2) .and. all(i3 == back_i3), 'int32')
  call expect(all(r1 == back_r1) .and. all(r2 == back_r2) .and. all(r3 == back_r3), 'real32')
  call expect(all(d1 == back_d1) .and. all(d2 == back_d2) .and. all(d3 == back_d3), 'real64')

  allocate (four(2, 3, 2, 2), source=reshape(d1, [2, 3, 2, 2]))
  call expect_ok(store%put_tensor('four', four), store)

  ! A pointer to a corner, an expression, a slice backwards, and a component: to and fro.
  field = -1
  corner => field(2:5, 3:8)
  call expect_ok(store%get_tensor('d2', corner), store)
  call expect(all(field(2:5, 3:8) == d2), 'a pointer gets the values')
  call expect(count(field /= -1) == 24, 'and nothing else does')
  call expect_ok(store%put_tensor('corner', corner), store)
  call expect_ok(store%put_tensor('expression', 2*d2), store)
  call expect_ok(store%put_tensor('backwards ', d1(24:1:-3)), store)
  points%y = d1(1:5)
  points%x = 0
  call expect_ok(store%put_tensor('component', points%y), store)
  call expect_ok(store%get_tensor('component', points%x), store)
  call expect(all(points%x == d1(1:5)), 'a component gets the values')

  call expect_ok(store%key_exists('component', found), store)
  call expect(found, 'the key is there')
  call expect_ok(store%delete_tensor('component'), store)
  call expect_ok(store%key_exists('component', found), store)
  call expect(.not. found, 'the key is gone')
  error = store%disconnect()
end program tensors
