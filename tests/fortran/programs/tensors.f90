!> Puts a tensor of each type and rank, gets each back, and uses what Fortran knows of odd arrays.
program tensors
  use, intrinsic :: iso_fortran_env, only: int8, int16, int32, int64, real32, real64
  use expectations, only: expect, expect_ok
  use parslflow_client, only: store_client
  implicit none
  type :: point
    real(real64) :: x, y
    integer(int32) :: mark
  end type point
  type(store_client) :: store
  type(point) :: points(5)
  integer(int8) :: b1(24), b2(4, 6), b3(2, 3, 4), back_b1(24), back_b2(4, 6), back_b3(2, 3, 4)
  integer(int16) :: s1(24), s2(4, 6), s3(2, 3, 4), back_s1(24), back_s2(4, 6), back_s3(2, 3, 4)
  integer(int64) :: l1(24), l2(4, 6), l3(2, 3, 4), back_l1(24), back_l2(4, 6), back_l3(2, 3, 4)
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
  b1 = int(i1, int8)
  b2 = int(i2, int8)
  b3 = int(i3, int8)
  s1 = int(i1, int16)
  s2 = int(i2, int16)
  s3 = int(i3, int16)
  l1 = i1
  l2 = i2
  l3 = i3
  r1 = i1/2.0_real32
  r2 = i2/2.0_real32
  r3 = i3/2.0_real32
  d1 = i1/3.0_real64
  d2 = i2/3.0_real64
  d3 = i3/3.0_real64
  call expect_ok(store%put_tensor('b1', b1), store)
  call expect_ok(store%put_tensor('b2', b2), store)
  call expect_ok(store%put_tensor('b3', b3), store)
  call expect_ok(store%put_tensor('s1', s1), store)
  call expect_ok(store%put_tensor('s2', s2), store)
  call expect_ok(store%put_tensor('s3', s3), store)
  call expect_ok(store%put_tensor('l1', l1), store)
  call expect_ok(store%put_tensor('l2', l2), store)
  call expect_ok(store%put_tensor('l3', l3), store)
  call expect_ok(store%put_tensor('i1', i1), store)
  call expect_ok(store%put_tensor('i2', i2), store)
  call expect_ok(store%put_tensor('i3', i3), store)
  call expect_ok(store%put_tensor('r1', r1), store)
  call expect_ok(store%put_tensor('r2', r2), store)
  call expect_ok(store%put_tensor('r3', r3), store)
  call expect_ok(store%put_tensor('d1', d1), store)
  call expect_ok(store%put_tensor('d2', d2), store)
  call expect_ok(store%put_tensor('d3', d3), store)
  call expect_ok(store%get_tensor('b1', back_b1), store)
  call expect_ok(store%get_tensor('b2', back_b2), store)
  call expect_ok(store%get_tensor('b3', back_b3), store)
  call expect_ok(store%get_tensor('s1', back_s1), store)
  call expect_ok(store%get_tensor('s2', back_s2), store)
  call expect_ok(store%get_tensor('s3', back_s3), store)
  call expect_ok(store%get_tensor('l1', back_l1), store)
  call expect_ok(store%get_tensor('l2', back_l2), store)
  call expect_ok(store%get_tensor('l3', back_l3), store)
  call expect_ok(store%get_tensor('i1', back_i1), store)
  call expect_ok(store%get_tensor('i2', back_i2), store)
  call expect_ok(store%get_tensor('i3', back_i3), store)
  call expect_ok(store%get_tensor('r1', back_r1), store)
  call expect_ok(store%get_tensor('r2', back_r2), store)
  call expect_ok(store%get_tensor('r3', back_r3), store)
  call expect_ok(store%get_tensor('d1', back_d1), store)
  call expect_ok(store%get_tensor('d2', back_d2), store)
  call expect_ok(store%get_tensor('d3', back_d3), store)
  call expect(all(b1 == back_b1) .and. all(b2 == back_b2) .and. all(b3 == back_b3), 'int8')
  call expect(all(s1 == back_s1) .and. all(s2 == back_s2) .and. all(s3 == back_s3), 'int16')
  call expect(all(l1 == back_l1) .and. all(l2 == back_l2) .and. all(l3 == back_l3), 'int64')
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

  call expect_ok(store%tensor_exists('component', found), store)
  call expect(found, 'the key is there')
  call expect_ok(store%delete_tensor('component'), store)
  call expect_ok(store%tensor_exists('component', found), store)
  call expect(.not. found, 'the key is gone')
  error = store%disconnect()
end program tensors
