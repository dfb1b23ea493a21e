!! The fast external mode: linear gravity waves on the depth-mean flow, in sub-steps of one time step.
!!
!! Forward-backward, with the surface extrapolated a little so that the shortest waves die out. The transports are
!! averaged over the step, so that continuity by them gives the very surface that the sub-steps reach. What they need
!! has wider halos than the rest, so that several are made for each exchange: a message costs more than the cells.
module barotropic
  use constants, only: dp, halo, widest_halo
  use domain, only: block
  use halo_exchange, only: exchange, field
  use mpi_f08, only: MPI_PROC_NULL
  use parameters, only: depth, gravity
  implicit none
  private
  public :: new_barotropic

  real(dp), parameter :: forward = 0.1_dp      !! extrapolation of the surface
  real(dp), parameter :: safety = 0.9_dp       !! of the largest stable sub-step
  integer, parameter :: least_count = 3        !! the number of sub-steps is a multiple of it

  !> The barotropic mode and its mean over a time step.
  type, public :: barotropic_mode
    integer :: sub_steps
    real(dp), allocatable :: u(:, :), v(:, :)              !! depth-mean velocity [m s-1]
    real(dp), allocatable :: uh_mean(:, :), vh_mean(:, :)  !! transport's mean over the step [m2 s-1]
    integer, private :: width                              !! halo points of the fields below
    real(dp), allocatable :: eta(:, :)                     !! surface height [m]
    real(dp), allocatable :: force_u(:, :), force_v(:, :)  !! acceleration by all that is slow [m s-2]
    real(dp), allocatable, private :: uh(:, :), vh(:, :)   !! transport [m2 s-1]
    real(dp), allocatable, private :: pressure(:, :), wave_u(:, :), wave_v(:, :)
  contains
    procedure :: advance
  end type barotropic_mode

contains

  function new_barotropic(b, dt) result(mode)
    type(block), intent(in) :: b
    real(dp), intent(in) :: dt          !! time step [s]
    type(barotropic_mode), target :: mode

    real(dp) :: largest

    ! det = 1 - forward*a**2 and trace = 2 - (1 + forward)*a**2 of one sub-step of the shortest wave
    largest = 2 / sqrt(1 + 2 * forward) / (2 * sqrt(2 * gravity * depth) / b%dx)
    mode%sub_steps = least_count * ceiling(dt / (safety * largest * least_count))
    mode%width = max(halo, min(widest_halo, b%nx / b%px, b%ny / b%py))
    associate (i => b%ni + halo, j => b%nj + halo, o => 1 - halo)
      allocate (mode%u(o:i, o:j), mode%v(o:i, o:j), mode%uh_mean(o:i, o:j), mode%vh_mean(o:i, o:j), source=0.0_dp)
    end associate
    associate (i => b%ni + mode%width, j => b%nj + mode%width, o => 1 - mode%width)
      allocate (mode%eta(o:i, o:j), mode%force_u(o:i, o:j), mode%force_v(o:i, o:j), mode%uh(o:i, o:j), &
        mode%vh(o:i, o:j), mode%pressure(o:i, o:j), mode%wave_u(o:i, o:j), mode%wave_v(o:i, o:j), source=0.0_dp)
    end associate
  end function new_barotropic

  !> From the start to the end of a time step: eta, u and v are advanced, uh_mean and vh_mean set.
  !! eta is wanted with one halo cell; all are valid inside the block only, on return.
  subroutine advance(self, b, dt)
    class(barotropic_mode), intent(inout), target :: self
    type(block), intent(in) :: b
    real(dp), intent(in) :: dt   !! time step [s]

    real(dp) :: thickness, sub_step, share
    integer :: i, j, n, margin, w

    w = self%width
    sub_step = dt / self%sub_steps
    share = 1.0_dp / self%sub_steps
    do j = 1, b%nj
      do i = 1, b%ni
        self%uh(i, j) = (depth + 0.5_dp * (self%eta(i, j) + self%eta(i + 1, j))) * self%u(i, j)
        self%vh(i, j) = (depth + 0.5_dp * (self%eta(i, j) + self%eta(i, j + 1))) * self%v(i, j)
      end do
    end do
    call exchange(b, [field(self%eta, width=w), field(self%uh, width=w), field(self%vh, on_v=.true., width=w), &
      field(self%force_u, width=w), field(self%force_v, on_v=.true., width=w)])
    do j = 1 - w, b%nj + w - 1
      do i = 1 - w, b%ni + w - 1
        thickness = depth + 0.5_dp * (self%eta(i, j) + self%eta(i + 1, j))
        self%force_u(i, j) = sub_step * thickness * self%force_u(i, j)
        self%wave_u(i, j) = sub_step * gravity / b%dx * thickness
        thickness = depth + 0.5_dp * (self%eta(i, j) + self%eta(i, j + 1))
        self%force_v(i, j) = sub_step * thickness * self%force_v(i, j)
        self%wave_v(i, j) = sub_step * gravity / b%dx * thickness
      end do
    end do
    self%uh_mean(1:b%ni, 1:b%nj) = 0
    self%vh_mean(1:b%ni, 1:b%nj) = 0

    margin = w - 1
    do n = 1, self%sub_steps
      if (margin == 0) then
        call exchange(b, [field(self%eta, width=w), field(self%uh, width=w), field(self%vh, on_v=.true., width=w)])
        margin = w - 1
      end if
      margin = margin - 1
      do j = 1, b%nj
        do i = 1, b%ni
          self%uh_mean(i, j) = self%uh_mean(i, j) + share * self%uh(i, j)
          self%vh_mean(i, j) = self%vh_mean(i, j) + share * self%vh(i, j)
        end do
      end do
      call sub_cycle(b, w, margin, sub_step, self%eta, self%pressure, self%uh, self%vh, self%force_u, &
        self%force_v, self%wave_u, self%wave_v)
    end do

    do j = 1, b%nj
      do i = 1, b%ni
        self%u(i, j) = self%uh(i, j) * sub_step * gravity / (b%dx * self%wave_u(i, j))
        self%v(i, j) = self%vh(i, j) * sub_step * gravity / (b%dx * self%wave_v(i, j))
      end do
    end do
  end subroutine advance

  !> One sub-step, on the block and `margin` cells around it. Rows beyond a wall are left alone.
  subroutine sub_cycle(b, w, margin, sub_step, eta, pressure, uh, vh, force_u, force_v, wave_u, wave_v)
    type(block), intent(in) :: b
    integer, intent(in) :: w                                             !! halo points of the fields
    integer, intent(in) :: margin
    real(dp), intent(in) :: sub_step                                     !! [s]
    real(dp), intent(inout), contiguous :: eta(1 - w:, 1 - w:)     !! surface height [m]
    real(dp), intent(inout), contiguous :: pressure(1 - w:, 1 - w:) !! extrapolated surface [m]
    real(dp), intent(inout), contiguous :: uh(1 - w:, 1 - w:), vh(1 - w:, 1 - w:)  !! transport [m2 s-1]
    real(dp), intent(in), contiguous :: force_u(1 - w:, 1 - w:), force_v(1 - w:, 1 - w:)
      !! slow force times thickness and sub-step [m2 s-1]
    real(dp), intent(in), contiguous :: wave_u(1 - w:, 1 - w:), wave_v(1 - w:, 1 - w:)
      !! g times thickness, sub-step and 1/dx [m s-1]

    real(dp) :: ratio, rise, turn, turn_south
    integer :: i, j, first, last, last_v

    first = 1 - margin
    last = b%nj + margin + 1
    last_v = b%nj + margin
    if (b%south == MPI_PROC_NULL) first = 1
    if (b%north == MPI_PROC_NULL) then
      last = b%nj
      last_v = b%nj_v
    end if

    ratio = sub_step / b%dx
    do j = first, last
      do i = -margin, b%ni + margin + 1
        rise = -ratio * (uh(i, j) - uh(i - 1, j) + vh(i, j) - vh(i, j - 1))
        eta(i, j) = eta(i, j) + rise
        pressure(i, j) = eta(i, j) + forward * rise
      end do
    end do
    do j = first, last
      turn = 0.25_dp * sub_step * b%f_q(j)
      turn_south = 0.25_dp * sub_step * b%f_q(j - 1)
      do i = -margin, b%ni + margin
        uh(i, j) = uh(i, j) + force_u(i, j) + (turn * (vh(i, j) + vh(i + 1, j)) &
          + turn_south * (vh(i, j - 1) + vh(i + 1, j - 1))) - wave_u(i, j) * (pressure(i + 1, j) - pressure(i, j))
      end do
    end do
    do j = first, last_v
      turn = 0.25_dp * sub_step * b%f_q(j)
      do i = 1 - margin, b%ni + margin
        vh(i, j) = vh(i, j) + force_v(i, j) - turn * (uh(i, j) + uh(i, j + 1) + uh(i - 1, j) + uh(i - 1, j + 1)) &
          - wave_v(i, j) * (pressure(i, j + 1) - pressure(i, j))
      end do
    end do
  end subroutine sub_cycle
end module barotropic
