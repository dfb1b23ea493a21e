!> Sends and gets a(i, j, k) = 10000 i + 100 j + k for the extents given as arguments.
program index_order
  use, intrinsic :: iso_fortran_env, only: real64
  use expectations, only: expect, expect_ok
  use parslflow_client, only: store_client
  implicit none
  type(store_client) :: store
  real(real64), allocatable :: a(:, :, :), wide(:, :, :)
  integer :: error, i, j, k, n(3)
  character(len=20) :: argument

  do i = 1, 3
    call get_command_argument(i, argument)
    read (argument, *) n(i)
  end do
  allocate (a(n(1), n(2), n(3)), wide(3*n(1), 2*n(2), n(3) + 1))
  do k = 1, n(3)
    do j = 1, n(2)
      do i = 1, n(1)
        a(i, j, k) = 10000*i + 100*j + k
      end do
    end do
  end do
  error = store%connect()
  call expect_ok(error, store)
  call expect_ok(store%put_tensor('cube', a), store)
  call expect_ok(store%put_tensor('plane', a(:, :, 1)), store)
  call expect_ok(store%put_tensor('strided', a(n(1):1:-1, ::2, :)), store)
  wide = -1
  call expect_ok(store%get_tensor('from_python', wide(::3, 2::2, 2:)), store)
  call expect(all(wide(::3, 2::2, 2:) == a), 'the tensor from Python')
  call expect(count(wide /= -1) == size(a), 'nothing else is written')
  error = store%disconnect()
end program index_order
