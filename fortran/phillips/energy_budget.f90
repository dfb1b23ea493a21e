!! What feeds and drains the energy of the flow: the work of each process at one time step.
!!
!! The energy per unit mass is that of the flow, h*(u**2 + v**2)/2, and of the two interfaces, g*e1**2/2 and
!! g'*(e2 - reference)**2/2, over the depth. What changes it besides these works is the numerics.
module energy_budget
  use constants, only: dp, halo, layers
  use domain, only: block
  use jet, only: mean_interface
  use parameters, only: depth, reduced_gravity
  implicit none
  private
  public :: interface_energy, face_work

  !> Works of this block's cells, not yet over all ranks and the domain's volume [m3 s-3 summed over cells].
  type, public :: powers
    real(dp) :: sponge = 0       !! of the zonal-mean sponge on the interface
    real(dp) :: drag = 0         !! of the bottom drag
    real(dp) :: viscous = 0      !! of the lateral friction
    real(dp) :: diffusion = 0    !! of the thickness diffusion
  end type powers

contains

  !> Potential energy of the interface between the layers, summed over the block's cells [m3 s-2].
  pure real(dp) function interface_energy(b, h2)
    type(block), intent(in) :: b
    real(dp), intent(in), contiguous :: h2(1 - halo:, 1 - halo:)  !! thickness of the lower layer [m]

    interface_energy = 0.5_dp * reduced_gravity * sum((h2(1:b%ni, 1:b%nj) - depth - mean_interface)**2)
  end function interface_energy

  !> Work of an acceleration on the flow, at all the block's faces [m3 s-3].
  pure real(dp) function face_work(b, h, u, v, du, dv)
    type(block), intent(in) :: b
    real(dp), intent(in), contiguous :: h(1 - halo:, 1 - halo:, :)  !! thickness [m]
    real(dp), intent(in), contiguous :: u(1 - halo:, 1 - halo:, :), v(1 - halo:, 1 - halo:, :)  !! [m s-1]
    real(dp), intent(in), contiguous :: du(1 - halo:, 1 - halo:, :), dv(1 - halo:, 1 - halo:, :)  !! [m s-2]
    integer :: i, j, k

    face_work = 0
    do k = 1, layers
      do j = 1, b%nj
        do i = 1, b%ni
          face_work = face_work + 0.5_dp * (h(i, j, k) + h(i + 1, j, k)) * u(i, j, k) * du(i, j, k)
        end do
      end do
      do j = 1, b%nj_v
        do i = 1, b%ni
          face_work = face_work + 0.5_dp * (h(i, j, k) + h(i, j + 1, k)) * v(i, j, k) * dv(i, j, k)
        end do
      end do
    end do
  end function face_work
end module energy_budget
