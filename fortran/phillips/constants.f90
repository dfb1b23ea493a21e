!! Kinds and what no run can change.
module constants
  use, intrinsic :: iso_fortran_env, only: int64, real64
  implicit none
  private

  integer, parameter, public :: dp = real64, long = int64
  integer, parameter, public :: layers = 2
  integer, parameter, public :: halo = 4              !! halo points of every field, as MOM6 has
  integer, parameter, public :: widest_halo = 6       !! of the fields of the external mode
  real(dp), parameter, public :: day_length = 86400.0_dp
  real(dp), parameter, public :: pi = 3.141592653589793_dp
end module constants
