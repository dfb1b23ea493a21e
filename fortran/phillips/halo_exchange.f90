!! Halo exchange of several fields at once: periodic in x, mirrored at the walls in y.
!!
!! Beyond a wall centred fields and u continue evenly and v oddly, v being 0 on the wall. So the vorticity and
!! the shear strain vanish there, which is free slip, and no stencil needs to know of the walls.
module halo_exchange
  use mpi_f08, only: MPI_COMM_WORLD, MPI_DOUBLE_PRECISION, MPI_PROC_NULL, MPI_Sendrecv, &
    MPI_STATUS_IGNORE
  use constants, only: dp, halo
  use domain, only: block
  implicit none
  private
  public :: exchange, field

  !> A field to exchange.
  type, public :: field_pointer
    private
    real(dp), pointer, contiguous :: a(:, :, :) => null()
    logical :: on_v = .false.
  end type field_pointer

  interface field
    module procedure field_2d, field_3d
  end interface field

contains

  !> A field of one level.
  function field_2d(a, on_v) result(f)
    real(dp), intent(in), target, contiguous :: a(1 - halo:, 1 - halo:)  !! with its halo
    logical, intent(in), optional :: on_v                                 !! lies on the faces of v
    type(field_pointer) :: f

    f%a(1 - halo:ubound(a, 1), 1 - halo:ubound(a, 2), 1:1) => a
    if (present(on_v)) f%on_v = on_v
  end function field_2d

  !> A field of several levels.
  function field_3d(a, on_v) result(f)
    real(dp), intent(in), target, contiguous :: a(1 - halo:, 1 - halo:, :)
    logical, intent(in), optional :: on_v
    type(field_pointer) :: f

    f%a(1 - halo:, 1 - halo:, 1:) => a
    if (present(on_v)) f%on_v = on_v
  end function field_3d

  !> Fill the halos of the fields, corners too.
  subroutine exchange(b, fields)
    type(block), intent(in) :: b
    type(field_pointer), intent(in) :: fields(:)

    integer :: n, levels

    levels = 0
    do n = 1, size(fields)
      levels = levels + size(fields(n)%a, 3)
    end do
    if (b%px == 1) then
      call wrap(b, fields)
    else
      call swap_columns(b, fields, levels)
    end if
    if (b%py > 1) call swap_rows(b, fields, levels)
    do n = 1, size(fields)
      if (b%south == MPI_PROC_NULL) call mirror_south(fields(n))
      if (b%north == MPI_PROC_NULL) call mirror_north(b, fields(n))
    end do
  end subroutine exchange

  subroutine wrap(b, fields)
    type(block), intent(in) :: b
    type(field_pointer), intent(in) :: fields(:)
    integer :: n

    do n = 1, size(fields)
      associate (a => fields(n)%a)
        a(1 - halo:0, 1:b%nj, :) = a(b%ni - halo + 1:b%ni, 1:b%nj, :)
        a(b%ni + 1:b%ni + halo, 1:b%nj, :) = a(1:halo, 1:b%nj, :)
      end associate
    end do
  end subroutine wrap

  subroutine swap_columns(b, fields, levels)
    type(block), intent(in) :: b
    type(field_pointer), intent(in) :: fields(:)
    integer, intent(in) :: levels

    real(dp) :: to_east(halo, b%nj, levels), to_west(halo, b%nj, levels)
    real(dp) :: from_west(halo, b%nj, levels), from_east(halo, b%nj, levels)
    integer :: n, first, last, length

    last = 0
    do n = 1, size(fields)
      first = last + 1
      last = last + size(fields(n)%a, 3)
      to_east(:, :, first:last) = fields(n)%a(b%ni - halo + 1:b%ni, 1:b%nj, :)
      to_west(:, :, first:last) = fields(n)%a(1:halo, 1:b%nj, :)
    end do
    length = size(to_east)
    call MPI_Sendrecv(to_east, length, MPI_DOUBLE_PRECISION, b%east, 1, from_west, length, &
      MPI_DOUBLE_PRECISION, b%west, 1, MPI_COMM_WORLD, MPI_STATUS_IGNORE)
    call MPI_Sendrecv(to_west, length, MPI_DOUBLE_PRECISION, b%west, 2, from_east, length, &
      MPI_DOUBLE_PRECISION, b%east, 2, MPI_COMM_WORLD, MPI_STATUS_IGNORE)
    last = 0
    do n = 1, size(fields)
      first = last + 1
      last = last + size(fields(n)%a, 3)
      fields(n)%a(1 - halo:0, 1:b%nj, :) = from_west(:, :, first:last)
      fields(n)%a(b%ni + 1:b%ni + halo, 1:b%nj, :) = from_east(:, :, first:last)
    end do
  end subroutine swap_columns

  subroutine swap_rows(b, fields, levels)
    type(block), intent(in) :: b
    type(field_pointer), intent(in) :: fields(:)
    integer, intent(in) :: levels

    real(dp) :: to_north(1 - halo:b%ni + halo, halo, levels), to_south(1 - halo:b%ni + halo, halo, levels)
    real(dp) :: from_south(1 - halo:b%ni + halo, halo, levels), from_north(1 - halo:b%ni + halo, halo, levels)
    integer :: n, first, last, length

    last = 0
    do n = 1, size(fields)
      first = last + 1
      last = last + size(fields(n)%a, 3)
      to_north(:, :, first:last) = fields(n)%a(:, b%nj - halo + 1:b%nj, :)
      to_south(:, :, first:last) = fields(n)%a(:, 1:halo, :)
    end do
    length = size(to_north)
    call MPI_Sendrecv(to_north, length, MPI_DOUBLE_PRECISION, b%north, 3, from_south, length, &
      MPI_DOUBLE_PRECISION, b%south, 3, MPI_COMM_WORLD, MPI_STATUS_IGNORE)
    call MPI_Sendrecv(to_south, length, MPI_DOUBLE_PRECISION, b%south, 4, from_north, length, &
      MPI_DOUBLE_PRECISION, b%north, 4, MPI_COMM_WORLD, MPI_STATUS_IGNORE)
    last = 0
    do n = 1, size(fields)
      first = last + 1
      last = last + size(fields(n)%a, 3)
      if (b%south /= MPI_PROC_NULL) fields(n)%a(:, 1 - halo:0, :) = from_south(:, :, first:last)
      if (b%north /= MPI_PROC_NULL) fields(n)%a(:, b%nj + 1:b%nj + halo, :) = from_north(:, :, first:last)
    end do
  end subroutine swap_rows

  subroutine mirror_south(f)
    type(field_pointer), intent(in) :: f
    integer :: m

    if (f%on_v) then
      f%a(:, 0, :) = 0
      do m = 1, halo - 1
        f%a(:, -m, :) = -f%a(:, m, :)
      end do
    else
      do m = 1, halo
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
      do m = 1, halo
        f%a(:, b%nj + m, :) = -f%a(:, b%nj - m, :)
      end do
    else
      do m = 1, halo
        f%a(:, b%nj + m, :) = f%a(:, b%nj + 1 - m, :)
      end do
    end if
  end subroutine mirror_north
end module halo_exchange
