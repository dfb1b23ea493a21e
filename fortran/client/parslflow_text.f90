!> Text as Fortran and as C have it.
module parslflow_text
  use, intrinsic :: iso_c_binding, only: c_char, c_f_pointer, c_loc, c_null_char, c_ptr, c_size_t
  implicit none
  private
  public :: addresses, c_text, c_texts, fortran_text, fortran_texts

  !> One of several texts, each as long as it is. Arrays of it are intent(inout), not intent(out), of
  !! which gfortran 12 warns in the caller.
  type, public :: store_text
    character(len=:), allocatable :: text
  end type store_text

  interface
    function c_strlen(text) bind(c, name="strlen") result(length)
      import :: c_ptr, c_size_t
      type(c_ptr), value :: text
      integer(c_size_t) :: length
    end function c_strlen
  end interface

contains

  !> The text without trailing blanks, as C has it.
  pure function c_text(text)
    character(len=*), intent(in) :: text
    character(len=len_trim(text) + 1, kind=c_char) :: c_text

    c_text = trim(text)//c_null_char
  end function c_text

  !> Each text without trailing blanks, as C has it.
  elemental function c_texts(text)
    character(len=*), intent(in) :: text
    character(len=len(text) + 1, kind=c_char) :: c_texts

    c_texts = trim(text)//c_null_char
  end function c_texts

  function addresses(texts) result(pointers)
    character(len=*, kind=c_char), intent(in), target :: texts(:)
    type(c_ptr) :: pointers(size(texts))
    integer :: i

    do i = 1, size(texts)
      pointers(i) = c_loc(texts(i))
    end do
  end function addresses

  function fortran_text(address) result(text)
    type(c_ptr), intent(in) :: address
    character(len=:), allocatable :: text
    character(kind=c_char), pointer :: characters(:)
    integer :: i

    call c_f_pointer(address, characters, [c_strlen(address)])
    allocate (character(len=size(characters)) :: text)
    do i = 1, size(characters)
      text(i:i) = characters(i)
    end do
  end function fortran_text

  function fortran_texts(addresses) result(texts)
    type(c_ptr), intent(in) :: addresses(:)
    type(store_text) :: texts(size(addresses))
    integer :: i

    do i = 1, size(addresses)
      texts(i)%text = fortran_text(addresses(i))
    end do
  end function fortran_texts

end module parslflow_text
