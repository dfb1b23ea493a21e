!! Halo exchange of several fields at once: periodic in x, mirrored at the walls in y.
!!
!! Beyond a wall centred fields and u continue evenly and v oddly, v being 0 on the wall. So the vorticity and
!! the shear strain vanish there, which is free slip, and no stencil needs to know of the walls.
module halo_exchange
  use mpi_f08, only: MPI_COMM_WORLD, MPI_DOUBLE_PRECISION, MPI_Irecv, MPI_Isend, MPI_PROC_NULL, MPI_Request, &
    MPI_STATUSES_IGNORE, MPI_Waitall
  use constants, only: dp, halo
  use domain, only: block
  implicit none
  private
  public :: exchange, field

  !> A field to exchange.
  type, public :: field_pointer
    private
    real(dp), pointer, contiguous :: a(:, :, :) => null()
    integer :: width = halo        !! halo points of the array
    logical :: on_v = .false.
  end type field_pointer

  interface field
    module procedure field_2d, field_3d
  end interface field

contains

  !> A field of one level.
  function field_2d(a, on_v, width) result(f)
    real(dp), intent(in), target, contiguous :: a(:, :)  !! with its halo
    logical, intent(in), optional :: on_v                 !! lies on the faces of v
    integer, intent(in), optional :: width                !! halo points of the array, if not `halo`
    type(field_pointer) :: f

    if (present(on_v)) f%on_v = on_v
    if (present(width)) f%width = width
    f%a(1 - f%width:size(a, 1) - f%width, 1 - f%width:size(a, 2) - f%width, 1:1) => a
  end function field_2d

  !> A field of several levels.
  function field_3d(a, on_v) result(f)
    real(dp), intent(in), target, contiguous :: a(:, :, :)
    logical, intent(in), optional :: on_v
    type(field_pointer) :: f

    if (present(on_v)) f%on_v = on_v
    f%a(1 - f%width:, 1 - f%width:, 1:) => a
  end function field_3d

  !> Fill the halos of the fields, corners too: one message to each neighbour, all on their way at once.
  subroutine exchange(b, fields, width)
    type(block), intent(in) :: b
    type(field_pointer), intent(in) :: fields(:)
    integer, intent(in), optional :: width  !! halo points that are needed, by default all

    integer :: n, w

    w = minval(fields%width)
    if (present(width)) w = width
    if (b%ranks > 1) call swap(b, fields, w)
    do n = 1, size(fields)
      if (b%px == 1) call wrap(b, fields(n))
      if (b%south == MPI_PROC_NULL) call mirror_south(fields(n))
      if (b%north == MPI_PROC_NULL) call mirror_north(b, fields(n))
    end do
  end subroutine exchange

  !> Exchange with the neighbours; what lies beyond a wall is left alone, and so are the columns beyond the block
  !! where one rank has them all.
  subroutine swap(b, fields, w)
    type(block), intent(in) :: b
    type(field_pointer), intent(in) :: fields(:)
    integer, intent(in) :: w  !! halo points

    real(dp), allocatable, asynchronous :: outgoing(:), incoming(:)
    integer :: first(9), x, y, n, message, levels
    type(MPI_Request) :: requests(16)

    levels = 0
    do n = 1, size(fields)
      levels = levels + size(fields(n)%a, 3)
    end do
    allocate (outgoing(2 * w * (b%ni + b%nj + 2 * w) * levels), incoming(2 * w * (b%ni + b%nj + 2 * w) * levels))

    ! A message's tag is the direction that it travels in: the opposite of where it comes from.
    first(1) = 1
    do message = 1, 8
      call direction(message, x, y)
      first(message + 1) = first(message) + levels * merge(b%ni, w, x == 0) * merge(b%nj, w, y == 0)
      call MPI_Irecv(incoming(first(message):first(message + 1) - 1), first(message + 1) - first(message), &
        MPI_DOUBLE_PRECISION, b%neighbours(x, y), 9 - message, MPI_COMM_WORLD, requests(message))
    end do
    do message = 1, 8
      call direction(message, x, y)
      if (b%neighbours(x, y) /= MPI_PROC_NULL) call pack(fields, &
        inner_first(x, b%ni, w), inner_last(x, b%ni, w), inner_first(y, b%nj, w), inner_last(y, b%nj, w), &
        outgoing(first(message):))
      call MPI_Isend(outgoing(first(message):first(message + 1) - 1), first(message + 1) - first(message), &
        MPI_DOUBLE_PRECISION, b%neighbours(x, y), message, MPI_COMM_WORLD, requests(8 + message))
    end do
    call MPI_Waitall(16, requests, MPI_STATUSES_IGNORE)
    do message = 1, 8
      call direction(message, x, y)
      if (b%neighbours(x, y) /= MPI_PROC_NULL) call unpack(fields, &
        outer_first(x, b%ni, w), outer_last(x, b%ni, w), outer_first(y, b%nj, w), outer_last(y, b%nj, w), &
        incoming(first(message):))
    end do
  end subroutine swap

  !> The direction of a neighbour, -1, 0 or 1 in x and y; those of a message and of 9 less it are opposite.
  pure subroutine direction(message, x, y)
    integer, intent(in) :: message  !! 1 to 8
    integer, intent(out) :: x, y
    integer :: place

    place = message - 1 + message / 5  ! the block itself is the fifth of nine
    x = mod(place, 3) - 1
    y = place / 3 - 1
  end subroutine direction

  !> First and last cell inside a block of n that the neighbour in this direction needs.
  pure integer function inner_first(towards, n, w)
    integer, intent(in) :: towards, n, w

    inner_first = merge(n - w + 1, 1, towards == 1)
  end function inner_first

  pure integer function inner_last(towards, n, w)
    integer, intent(in) :: towards, n, w

    inner_last = merge(w, n, towards == -1)
  end function inner_last

  !> First and last cell outside a block of n that the neighbour in this direction has.
  pure integer function outer_first(towards, n, w)
    integer, intent(in) :: towards, n, w

    outer_first = merge(n + 1, merge(1 - w, 1, towards == -1), towards == 1)
  end function outer_first

  pure integer function outer_last(towards, n, w)
    integer, intent(in) :: towards, n, w

    outer_last = merge(0, merge(n + w, n, towards == 1), towards == -1)
  end function outer_last

  !> Copy a rectangle of the fields into a message, level by level.
  subroutine pack(fields, west, east, south, north, message)
    type(field_pointer), intent(in) :: fields(:)
    integer, intent(in) :: west, east, south, north
    real(dp), intent(inout), contiguous :: message(:)
    integer :: n, place

    place = 0
    do n = 1, size(fields)
      call copy(fields(n)%a, 1 - fields(n)%width)
    end do

  contains

    subroutine copy(a, o)
      integer, intent(in) :: o
      real(dp), intent(in), contiguous :: a(o:, o:, :)
      integer :: i, j, k

      do k = 1, size(a, 3)
        do j = south, north
          do i = west, east
            message(place + i - west + 1) = a(i, j, k)
          end do
          place = place + east - west + 1
        end do
      end do
    end subroutine copy
  end subroutine pack

  !> The reverse.
  subroutine unpack(fields, west, east, south, north, message)
    type(field_pointer), intent(in) :: fields(:)
    integer, intent(in) :: west, east, south, north
    real(dp), intent(in), contiguous :: message(:)
    integer :: n, place

    place = 0
    do n = 1, size(fields)
      call copy(fields(n)%a, 1 - fields(n)%width)
    end do

  contains

    subroutine copy(a, o)
      integer, intent(in) :: o
      real(dp), intent(inout), contiguous :: a(o:, o:, :)
      integer :: i, j, k

      do k = 1, size(a, 3)
        do j = south, north
          do i = west, east
            a(i, j, k) = message(place + i - west + 1)
          end do
          place = place + east - west + 1
        end do
      end do
    end subroutine copy
  end subroutine unpack

  !> Periodic columns of a rank that has all of them.
  subroutine wrap(b, f)
    type(block), intent(in) :: b
    type(field_pointer), intent(in) :: f

    f%a(1 - f%width:0, :, :) = f%a(b%ni - f%width + 1:b%ni, :, :)
    f%a(b%ni + 1:b%ni + f%width, :, :) = f%a(1:f%width, :, :)
  end subroutine wrap

  subroutine mirror_south(f)
    type(field_pointer), intent(in) :: f
    integer :: m

    if (f%on_v) then
      f%a(:, 0, :) = 0
      do m = 1, f%width - 1
        f%a(:, -m, :) = -f%a(:, m, :)
      end do
    else
      do m = 1, f%width
        f%a(:, 1 - m, :) = f%a(:, m, :)
      end do
    end if
  end subroutine mirror_south

  subroutine mirror_north(b, f)
    type(block), intent(in) :: b
    type(field_pointer), intent(in) :: f
    integer :: m

    if (f%on_v) then
      f%a(:, b%nj, :) = 0
      do m = 1, f%width
        f%a(:, b%nj + m, :) = -f%a(:, b%nj - m, :)
      end do
    else
      do m = 1, f%width
        f%a(:, b%nj + m, :) = f%a(:, b%nj + 1 - m, :)
      end do
    end if
  end subroutine mirror_north
end module halo_exchange
