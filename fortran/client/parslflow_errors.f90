!> The codes that the client's functions return.
module parslflow_errors
  use, intrinsic :: iso_c_binding, only: c_int
  implicit none
  private

  ! As enum pf_error in parslflow_client.h, which describes them.
  integer(c_int), parameter, public :: PF_OK = 0
  integer(c_int), parameter, public :: PF_CONNECTION = 1
  integer(c_int), parameter, public :: PF_TIMEOUT = 2
  integer(c_int), parameter, public :: PF_SERVER = 3
  integer(c_int), parameter, public :: PF_STORE_FULL = 4
  integer(c_int), parameter, public :: PF_MISSING_KEY = 5
  integer(c_int), parameter, public :: PF_WRONG_TYPE = 6
  integer(c_int), parameter, public :: PF_WRONG_SHAPE = 7
  integer(c_int), parameter, public :: PF_BAD_ARGUMENT = 8
  integer(c_int), parameter, public :: PF_NO_MEMORY = 9
  integer(c_int), parameter, public :: PF_INFERENCE = 10
  integer(c_int), parameter, public :: PF_DAMAGED = 11
end module parslflow_errors
