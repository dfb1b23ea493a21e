!! The four fields at the cell centres from which the networks learn and answer.
module features
  use, intrinsic :: ieee_arithmetic, only: ieee_quiet_nan, ieee_value
  use mpi_f08, only: MPI_PROC_NULL
  use constants, only: dp, halo, layers
  use domain, only: block
  use eddy_energy, only: deformation_radius
  use halo_exchange, only: exchange, field
  use state, only: model_state
  implicit none
  private
  public :: new_features

  character(*), parameter, public :: feature_names(4) = [character(14) :: &
    'KE_vert_sum', 'RV_vert_avg', 'slope_vert_avg', 'Rd_dx']

  !> The fields, not smoothed, in the order of `feature_names`.
  type, public :: feature_fields
    real(dp), allocatable :: values(:, :, :)
  contains
    procedure :: compute
    procedure :: fill_halo
  end type feature_fields

contains

  function new_features(b) result(fields)
    type(block), intent(in) :: b
    type(feature_fields) :: fields

    allocate (fields%values(1 - halo:b%ni + halo, 1 - halo:b%nj + halo, size(feature_names)), source=0.0_dp)
  end function new_features

  !> Compute the fields inside the block.
  subroutine compute(self, b, s)
    class(feature_fields), intent(inout) :: self
    type(block), intent(in) :: b
    type(model_state), intent(in) :: s

    real(dp) :: energy, vorticity
    integer :: i, j, k

    associate (h => s%h, u => s%u, v => s%v)
      do j = 1, b%nj
        do i = 1, b%ni
          energy = 0     ! sum of KE*h [m3 s-2]
          vorticity = 0  ! sum of the mean of the four corners times h [m s-1]
          do k = 1, layers
            energy = energy + h(i, j, k) * 0.25_dp &
              * (u(i - 1, j, k)**2 + u(i, j, k)**2 + v(i, j - 1, k)**2 + v(i, j, k)**2)
            vorticity = vorticity + h(i, j, k) * 0.25_dp / b%dx &
              * (v(i + 1, j, k) - v(i - 1, j, k) + v(i + 1, j - 1, k) - v(i - 1, j - 1, k) &
              - (u(i, j + 1, k) - u(i, j - 1, k) + u(i - 1, j + 1, k) - u(i - 1, j - 1, k)))
          end do
          self%values(i, j, 1) = energy
          self%values(i, j, 2) = vorticity
          self%values(i, j, 3) = sqrt((h(i + 1, j, 2) - h(i - 1, j, 2))**2 &
            + (h(i, j + 1, 2) - h(i, j - 1, 2))**2) / (2 * b%dx)
          self%values(i, j, 4) = deformation_radius(h(i, j, 1), h(i, j, 2), b%f(j)) / (sqrt(2.0_dp) * b%dx)
        end do
      end do
    end associate
  end subroutine compute

  !> Make the halos valid; NaN beyond the walls.
  subroutine fill_halo(self, b)
    class(feature_fields), intent(inout), target :: self
    type(block), intent(in) :: b

    call exchange(b, [field(self%values)])
    if (b%south == MPI_PROC_NULL) self%values(:, :0, :) = ieee_value(0.0_dp, ieee_quiet_nan)
    if (b%north == MPI_PROC_NULL) self%values(:, b%nj + 1:, :) = ieee_value(0.0_dp, ieee_quiet_nan)
  end subroutine fill_halo
end module features
