!! The horizontal domain: who owns which block, who the neighbours are, and what depends on y alone.
module domain
  use mpi_f08, only: MPI_Comm, MPI_Comm_rank, MPI_Comm_size, MPI_Comm_split, MPI_COMM_WORLD, &
    MPI_PROC_NULL
  use configuration, only: settings
  use constants, only: dp, halo, widest_halo
  use failure, only: stop_all
  use parameters, only: beta, coriolis
  implicit none
  private
  public :: decompose, block_range

  !> One rank's part of the grid. Cell (i, j) has u on its east face, v on its north face and
  !! the vorticity point at its north-east corner, all with the index (i, j).
  type, public :: block
    integer :: nx, ny                   !! cells of the whole domain
    integer :: px, py                   !! ranks in x and y
    integer :: ni, nj                   !! cells of this block
    integer :: i_offset, j_offset       !! global index = local index + offset
    integer :: rank, ranks
    integer :: north, south             !! neighbouring ranks, MPI_PROC_NULL at a wall
    integer :: neighbours(-1:1, -1:1)   !! by direction in x and y; none in x where one rank has all columns
    integer :: nj_v                     !! last row of v that is not a wall
    real(dp) :: dx
    real(dp), allocatable :: f_q(:), f(:)   !! Coriolis parameter at the corners, centres [s-1]
    real(dp), allocatable :: y(:)           !! of the centres [m]
    type(MPI_Comm) :: row                   !! the ranks that share these rows
  end type block

contains

  !> First and last global cell of a part.
  pure subroutine block_range(cells, parts, part, first, last)
    integer, intent(in) :: cells, parts  !! cells and parts along this direction
    integer, intent(in) :: part          !! from 0
    integer, intent(out) :: first, last

    first = (part * cells) / parts + 1
    last = ((part + 1) * cells) / parts
  end subroutine block_range

  !> Lay the ranks over the grid.
  function decompose(chosen) result(b)
    type(settings), intent(in) :: chosen
    type(block) :: b

    integer :: i, j, x, y, last
    character(160) :: sentence

    call MPI_Comm_rank(MPI_COMM_WORLD, b%rank)
    call MPI_Comm_size(MPI_COMM_WORLD, b%ranks)
    b%nx = chosen%nx
    b%ny = chosen%ny
    b%dx = chosen%dx
    call choose_layout(chosen, b)
    if (b%px * b%py /= b%ranks) then
      write (sentence, '(2(a, i0), a, i0, a)') 'the namelist asks for px*py = ', chosen%px, ' by ', &
        chosen%py, ' blocks but there are ', b%ranks, ' ranks: set px and py so that px*py equals the ranks.'
      call stop_all(sentence)
    end if
    if (b%nx / b%px < halo .or. b%ny / b%py < halo) then
      write (sentence, '(6(a, i0))') 'a grid of ', b%nx, ' by ', b%ny, ' cells is too small for ', b%px, &
        ' by ', b%py, ' blocks: use fewer ranks, a block needs at least ', halo, ' cells each way.'
      call stop_all(sentence)
    end if

    x = mod(b%rank, b%px)
    y = b%rank / b%px
    call block_range(b%nx, b%px, x, b%i_offset, last)
    b%i_offset = b%i_offset - 1
    b%ni = last - b%i_offset
    call block_range(b%ny, b%py, y, b%j_offset, last)
    b%j_offset = b%j_offset - 1
    b%nj = last - b%j_offset

    b%neighbours = MPI_PROC_NULL
    do j = max(y - 1, 0), min(y + 1, b%py - 1)
      do i = x - 1, x + 1
        if (i == x .or. b%px > 1) b%neighbours(i - x, j - y) = modulo(i, b%px) + j * b%px
      end do
    end do
    b%north = b%neighbours(0, 1)
    b%south = b%neighbours(0, -1)
    b%nj_v = merge(b%nj - 1, b%nj, b%north == MPI_PROC_NULL)
    call MPI_Comm_split(MPI_COMM_WORLD, y, x, b%row)

    associate (o => 1 - widest_halo, n => b%nj + widest_halo)
      allocate (b%y(o:n), b%f(o:n), b%f_q(o:n))
    end associate
    do j = 1 - widest_halo, b%nj + widest_halo
      b%y(j) = (j + b%j_offset - 0.5_dp) * b%dx
      b%f(j) = coriolis + beta * b%y(j)
      b%f_q(j) = coriolis + beta * (j + b%j_offset) * b%dx
    end do
  end function decompose

  !> Take px and py as asked; what is 0 is chosen so that the blocks' perimeter is the shortest.
  subroutine choose_layout(chosen, b)
    type(settings), intent(in) :: chosen
    type(block), intent(inout) :: b

    integer :: px, py
    real(dp) :: perimeter, shortest

    b%px = max(1, chosen%px)
    b%py = max(1, chosen%py)
    shortest = huge(shortest)
    do px = 1, b%ranks
      py = b%ranks / px
      if (px * py /= b%ranks) cycle
      if (chosen%px > 0 .and. chosen%px /= px) cycle
      if (chosen%py > 0 .and. chosen%py /= py) cycle
      perimeter = real(chosen%nx, dp) / px + real(chosen%ny, dp) / py
      if (px == 1) perimeter = real(chosen%nx, dp) ! the periodic direction then costs no message
      if (perimeter < shortest) then
        shortest = perimeter
        b%px = px
        b%py = py
      end if
    end do
  end subroutine choose_layout
end module domain
