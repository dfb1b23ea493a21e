!! The only forcing: the zonal mean of the interface is drawn back to that of the jet.
module sponge
  use mpi_f08, only: MPI_Allreduce, MPI_IN_PLACE, MPI_INTEGER8, MPI_SUM
  use constants, only: day_length, dp, halo, long
  use domain, only: block
  use jet, only: jet_interface
  use parameters, only: depth
  implicit none
  private
  public :: new_sponge

  real(dp), parameter :: unit = 2.0_dp**40     !! of the fixed-point sums [m-1]
  real(dp), parameter :: thinnest = 100.0_dp   !! half of the jet's thinnest: no layer is thinned further [m]

  !> The interface aimed at, and how fast.
  type, public :: sponge_forcing
    private
    real(dp), allocatable :: target_interface(:)  !! [m]
    real(dp) :: share                             !! of the difference that one step takes away
  contains
    procedure :: restore
  end type sponge_forcing

contains

  function new_sponge(b, dt, time_scale) result(forcing)
    type(block), intent(in) :: b
    real(dp), intent(in) :: dt           !! time step [s]
    real(dp), intent(in) :: time_scale   !! [days], 0: no sponge
    type(sponge_forcing) :: forcing

    allocate (forcing%target_interface(1 - halo:b%nj + halo), source=jet_interface(b))
    forcing%share = 0
    if (.not. time_scale > 0) return
    forcing%share = dt / (time_scale * day_length)
    forcing%share = forcing%share / (1 + forcing%share)
  end function new_sponge

  !> Move the interface inside the block. Sums are in fixed point: the same for every layout of ranks.
  subroutine restore(self, b, h)
    class(sponge_forcing), intent(in) :: self
    type(block), intent(in) :: b
    real(dp), intent(inout), contiguous :: h(1 - halo:, 1 - halo:, :)  !! thickness [m]

    integer(long) :: total(b%nj)
    real(dp) :: interface_height, w
    integer :: i, j

    if (.not. self%share > 0) return
    do j = 1, b%nj
      total(j) = 0
      do i = 1, b%ni
        ! dilated so that the surface is at 0
        interface_height = h(i, j, 2) * depth / (h(i, j, 1) + h(i, j, 2)) - depth
        total(j) = total(j) + nint(interface_height * unit, long)
      end do
    end do
    if (b%px > 1) call MPI_Allreduce(MPI_IN_PLACE, total, b%nj, MPI_INTEGER8, MPI_SUM, b%row)
    do j = 1, b%nj
      w = self%share * (real(total(j), dp) / (unit * b%nx) - self%target_interface(j))
      do i = 1, b%ni
        associate (step => max(min(0.0_dp, thinnest - h(i, j, 1)), min(w, max(0.0_dp, h(i, j, 2) - thinnest))))
          h(i, j, 1) = h(i, j, 1) + step
          h(i, j, 2) = h(i, j, 2) - step
        end associate
      end do
    end do
  end subroutine restore
end module sponge
