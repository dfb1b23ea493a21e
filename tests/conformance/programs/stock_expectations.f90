!> Ends a test program of the stock client at the first thing that is not as expected.
module stock_expectations
  use, intrinsic :: iso_fortran_env, only: error_unit
  use smartredis_errors, only: get_last_error
  implicit none
  private
  public :: expect, expect_ok

contains
  !> The code of a call of the stock client is 0.
  subroutine expect_ok(code)
    integer, intent(in) :: code

    if (code /= 0) call expect(.false., get_last_error())
  end subroutine expect_ok

  subroutine expect(condition, otherwise)
    logical, intent(in) :: condition
    character(len=*), intent(in) :: otherwise

    if (.not. condition) then
      write (error_unit, '(a)') otherwise
      error stop 1
    end if
  end subroutine expect
end module stock_expectations
