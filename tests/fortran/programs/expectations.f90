!> Ends a test program at the first thing that is not as expected.
module expectations
  use, intrinsic :: iso_fortran_env, only: error_unit
  use parslflow_client, only: store_client, store_dataset
  implicit none
  private
  public :: expect, expect_ok

  interface expect_ok
    procedure :: client_ok, dataset_ok
  end interface expect_ok
contains
  subroutine client_ok(error, store)
    integer, intent(in) :: error
    type(store_client), intent(in) :: store

    call expect(error == 0, store%message())
  end subroutine client_ok

  subroutine dataset_ok(error, dataset)
    integer, intent(in) :: error
    type(store_dataset), intent(in) :: dataset

    call expect(error == 0, dataset%message())
  end subroutine dataset_ok

  subroutine expect(condition, otherwise)
    logical, intent(in) :: condition
    character(len=*), intent(in) :: otherwise

    if (.not. condition) then
      write (error_unit, '(a)') otherwise
      error stop 1
    end if
  end subroutine expect
end module expectations
