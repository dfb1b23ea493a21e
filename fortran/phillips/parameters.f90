!! The physical parameters of the case: those of the two-layer Phillips case unless the namelist says otherwise.
module parameters
  use configuration, only: settings
  use constants, only: dp
  implicit none
  private
  public :: set_parameters

  real(dp), protected, public :: depth            !! H, flat bottom [m]
  real(dp), protected, public :: gravity          !! at the free surface [m s-2]
  real(dp), protected, public :: reduced_gravity  !! g' at the interface [m s-2]
  real(dp), protected, public :: coriolis         !! f at the southern wall [s-1]
  real(dp), protected, public :: beta             !! df/dy [m-1 s-1]
  real(dp), protected, public :: drag_coefficient !! CD of the bottom drag
  real(dp), parameter, public :: tidal_speed = 0.1_dp  !! of the bottom drag where nothing else moves [m s-1]

contains

  !> Take the parameters from the settings; before anything uses them.
  subroutine set_parameters(chosen)
    type(settings), intent(in) :: chosen

    depth = chosen%depth
    gravity = chosen%gravity
    reduced_gravity = chosen%reduced_gravity
    coriolis = chosen%coriolis
    beta = chosen%beta
    drag_coefficient = chosen%drag_coefficient
  end subroutine set_parameters
end module parameters
