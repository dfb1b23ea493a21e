!! Kinds and the fixed parameters of the two-layer Phillips case, SI units.
module constants
  use, intrinsic :: iso_fortran_env, only: int64, real64
  implicit none
  private

  integer, parameter, public :: dp = real64, long = int64
  integer, parameter, public :: layers = 2
  integer, parameter, public :: halo = 4              !! halo points of every field, as MOM6 has
  real(dp), parameter, public :: day_length = 86400.0_dp

  real(dp), parameter, public :: depth = 2000.0_dp    !! H, flat bottom [m]
  real(dp), parameter, public :: gravity = 9.8_dp     !! at the free surface [m s-2]
  real(dp), parameter, public :: reduced_gravity = 0.0196_dp  !! g' at the interface [m s-2]
  real(dp), parameter, public :: coriolis = 6.49e-5_dp        !! f at the southern wall [s-1]
  real(dp), parameter, public :: beta = 2.0e-11_dp            !! df/dy [m-1 s-1]
  real(dp), parameter, public :: drag_coefficient = 0.01_dp   !! CD of the bottom drag
  real(dp), parameter, public :: pi = 3.141592653589793_dp
end module constants
